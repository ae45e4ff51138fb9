"""A text in the pieces that are spoken one after the other."""

from __future__ import annotations

import re

_END = re.compile(r"(?<=[.!?…])[\"')\]]*\s+|(?<=[。！？；])[\"”』」]*|\n+")
_PAUSE = re.compile(r"(?<=[,;:])\s+|(?<=[，、：])")


def sentences(text: str, *, longest: int) -> list[str]:
    """Its sentences; one that is too long is divided at its pauses, or else between its words.

    Args:
        longest: most characters of a piece.
    """
    pieces = [piece.strip() for piece in _END.split(text)]
    return [part for piece in pieces if piece for part in _divided(piece, longest)]


def _divided(piece: str, longest: int) -> list[str]:
    if len(piece) <= longest:
        return [piece]
    for parts in (_PAUSE.split(piece), piece.split()):
        if len(parts) > 1:
            return [one for part in _gathered(parts, longest) for one in _divided(part, longest)]
    return [piece[start : start + longest] for start in range(0, len(piece), longest)]


def _gathered(parts: list[str], longest: int) -> list[str]:
    """As many neighbours together as are not too long."""
    together = [parts[0]]
    for part in parts[1:]:
        if len(together[-1]) + 1 + len(part) <= longest:
            together[-1] = f"{together[-1]} {part}"
        else:
            together.append(part)
    return together
