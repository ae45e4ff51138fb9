"""How a launch's progress looks: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import click

if TYPE_CHECKING:
    from rich.progress import Progress


def describe_download(files: Sequence[Mapping[str, Any]]) -> str:
    """What is here of the files, how fast the rest comes and when it will be here; as
    `download_files` of a launch's progress."""
    total = sum(file["total_bytes"] for file in files)
    here = sum(file["downloaded_bytes"] for file in files)
    # Two replicas of one node share a download: its speed counts once.
    speeds = {file["name"]: file["speed_bytes_per_second"] for file in files}
    names = {file["name"]: file["total_bytes"] - file["downloaded_bytes"] for file in files}
    speed, left = sum(speeds.values()), sum(names.values())
    text = f"downloading {size(here)} of {size(total)}"
    if left and speed:
        text += f", {size(speed)}/s, {duration(left / speed)} left"
    return text


def size(count: float) -> str:
    """Bytes as people say them: 1.5 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """1:05, 2:00:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Display(Protocol):
    def show(self, fraction: float, stage: str) -> None:
        """The work's progress from 0 to 1, and what is being done."""


class LineDisplay:
    """One line on stderr for each stage, and for each tenth of one."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown: tuple[str, int] | None = None

    def show(self, fraction: float, stage: str) -> None:
        now = (stage.partition(" ")[0], int(fraction * 10))
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
