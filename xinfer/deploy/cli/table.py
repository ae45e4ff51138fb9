"""Plain text tables: a line of headers, a line of dashes, a line for each row."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """The rows under their headers, columns two spaces apart; numbers stand to the right.
    None is an empty cell, a list its members."""
    cells = [[_text(value) for value in row] for row in rows]
    widths = [max(_width(text) for text in column) for column in zip(headers, *cells, strict=True)]
    numeric = [
        all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in column)
        for column in zip(*rows, strict=True)
    ]

    def line(texts: Sequence[str]) -> str:
        columns = zip(texts, widths, numeric, strict=True)
        return "  ".join(_pad(text, width, right) for text, width, right in columns).rstrip()

    return "\n".join([line(headers), "  ".join("-" * width for width in widths), *map(line, cells)])


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def _width(text: str) -> int:
    """Terminal columns: East Asian wide characters take two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _pad(text: str, width: int, right: bool) -> str:
    padding = " " * (width - _width(text))
    return padding + text if right else text + padding
