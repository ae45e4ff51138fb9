"""Figures: what was measured, its median over the repeats, its goal; as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import msgspec


class Row(msgspec.Struct, frozen=True):
    """One quantity, measured once in each repeat."""

    what: str
    unit: str
    values: Sequence[float]
    goal: float | None = None
    """What its median should be; None where it only puts the others into proportion."""
    at_least: bool = False
    """The goal is the least it should be, not the most."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        if self.goal is None:
            return None
        return self.median >= self.goal if self.at_least else self.median <= self.goal


class Figure(msgspec.Struct, frozen=True):
    """All rows of one benchmark."""

    name: str
    title: str
    rows: Sequence[Row]


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Of what was measured in the same repeat, ours by theirs.

    Raises:
        ValueError: the arms were not repeated alike.
    """
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def table(figure: Figure) -> str:
    """The figure as lines of text."""
    cells = [("", "median", "min", "max", "goal", "")]
    for row in figure.rows:
        cells.append(
            (
                row.what,
                f"{_short(row.median)} {row.unit}".rstrip(),
                _short(min(row.values)),
                _short(max(row.values)),
                "" if row.goal is None else f"{'≥' if row.at_least else '≤'} {row.goal:g}",
                {None: "", True: "met", False: "missed"}[row.met],
            )
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [f"{figure.name}  {figure.title}"]
    for what, *numbers in cells:
        aligned = [n.rjust(width) for n, width in zip(numbers, widths[1:], strict=True)]
        lines.append("  ".join(["   ", what.ljust(widths[0]), *aligned]).rstrip())
    return "\n".join(lines)


def as_builtins(figure: Figure, machine: dict[str, Any]) -> dict[str, Any]:
    """The figure as it is written to a file, with the machine it was taken on."""
    return {
        "figure": figure.name,
        "title": figure.title,
        "machine": machine,
        "rows": [
            {
                "what": row.what,
                "unit": row.unit,
                "median": row.median,
                "goal": row.goal,
                "at_least": row.at_least,
                "met": row.met,
                "values": list(row.values),
            }
            for row in figure.rows
        ],
    }


def _short(value: float) -> str:
    """Three digits that mean something."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
