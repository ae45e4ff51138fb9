"""What PyTorch and Transformers raise, told apart and in one line."""

from __future__ import annotations

import re

import torch

_NO_MEMORY = re.compile(
    r"(can't allocate memory|not enough memory|out of memory|ALLOC_FAILED|bad_alloc)", re.I
)
"""In the words of a RuntimeError: PyTorch has a class of its own for accelerators only."""


def is_no_memory(error: BaseException) -> bool:
    """Whether memory was asked for that there is not."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error)))


def first_line(error: BaseException) -> str:
    """What the error says, in its first line, as a sentence."""
    text = str(error).strip()
    line = text.splitlines()[0].rstrip() if text else type(error).__name__
    return line if line.endswith((".", "!", "?")) else f"{line}."
