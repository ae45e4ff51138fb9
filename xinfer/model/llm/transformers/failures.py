"""What PyTorch and Transformers raise, in one line."""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """What the error says, in its first line, as a sentence."""
    text = str(error).strip()
    line = text.splitlines()[0].rstrip() if text else type(error).__name__
    return line if line.endswith((".", "!", "?")) else f"{line}."
