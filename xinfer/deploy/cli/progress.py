"""How a launch's progress looks: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import click

if TYPE_CHECKING:
    from rich.progress import Progress


class Display(Protocol):
    def show(self, fraction: float, stage: str) -> None:
        """The work's progress from 0 to 1, and what is being done."""


class LineDisplay:
    """One line on stderr for each stage, and for each tenth of one."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown: tuple[str, int] | None = None

    def show(self, fraction: float, stage: str) -> None:
        now = (stage, int(fraction * 10))
        if now != self._shown:
            self._shown = now
            click.echo(f"{self._title}: {fraction:4.0%} {stage}", err=True)


class BarDisplay:
    """A bar that `bar` draws."""

    def __init__(self, title: str, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task(title, total=1.0, stage="")

    def show(self, fraction: float, stage: str) -> None:
        self._bar.update(self._task, completed=fraction, stage=stage)


@contextmanager
def open_display(title: str) -> Iterator[Display]:
    if not sys.stderr.isatty():
        yield LineDisplay(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[stage]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    ) as bar:
        yield BarDisplay(title, bar)
