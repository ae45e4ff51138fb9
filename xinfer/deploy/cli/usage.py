"""How a command line that is not understood is told: in one line, with what comes near."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

import click


class WrongUsage(click.ClickException):
    """The command line is not understood; the status by which shells know that."""

    exit_code = 2


@contextmanager
def told_in_one_line() -> Iterator[None]:
    """Raise `WrongUsage` for what click would tell in four lines."""
    try:
        yield
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "xinference"
        message = error.format_message()
        end = "" if message.endswith((".", "?", "?)")) else "."
        raise WrongUsage(f"{message}{end} See `{command} --help`.") from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean 'launch'?`, or nothing if no known name comes near."""
    near = get_close_matches(name, list(known), 1)
    return f" Did you mean {near[0]!r}?" if near else ""
