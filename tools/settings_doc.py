"""Write docs/settings.md from `xinfer.settings`; with --check, fail when it is not current."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import Field, fields
from pathlib import Path
from typing import Any

from tools.generated import write_or_check
from xinfer.settings import Settings

TARGET = Path(__file__).parent.parent / "docs" / "settings.md"

HEAD = """\
<!-- Written by tools/settings_doc.py from xinfer/settings.py: change that, and run it. -->

# Settings

Set them in the environment of `xinference-local`, `xinference-supervisor` or `xinference-worker`,
which hands them to all of its processes; on several machines, alike on all of them. A variable that
is empty or not set takes the default. A value that cannot be read stops the server before it
starts, with the variable's name. Durations are in seconds, sizes in bytes; truth values are `1` or
`0`.

The flags `-H`, `-p`, `--model` and `--api-workers` have no variable. `--log-level`,
`--ssl-cluster-cert` and `--ssl-cluster-key` win over theirs. The command line and its clients take
the server's address from `XINFERENCE_ENDPOINT`, and the key from `XINFERENCE_API_KEY`.

| Variable | Default | Meaning |
|---|---|---|
"""


def render() -> str:
    """The whole page."""
    return HEAD + "".join(_row(field) for field in fields(Settings))


def _row(field: Field[Any]) -> str:
    meaning = field.metadata["doc"]
    choices = field.metadata["choices"]
    if choices:
        meaning += f" One of {', '.join(choices)}."
    name = field.metadata["env"]
    return f"| `{name}` | {_shown(field.default, is_size='BYTES' in name)} | {meaning} |\n"


def _shown(value: Any, *, is_size: bool) -> str:
    """A default as one would set it; a size also in the unit one thinks of it in."""
    if value == "":
        return "(empty)"
    if isinstance(value, bool):
        return f"`{int(value)}`"
    if isinstance(value, float):
        return f"`{value:g}`"
    if is_size:
        return f"`{value}` ({_in_units(value)})"
    return f"`{value}`"


def _in_units(size: int) -> str:
    for exponent, unit in ((20, "MiB"), (10, "KiB")):
        if size % (1 << exponent) == 0:
            return f"{size >> exponent} {unit}"
    return f"{size} B"


def main(argv: Sequence[str] | None = None) -> int:
    return write_or_check(
        render(), TARGET, module="tools.settings_doc", description=__doc__, argv=argv
    )


if __name__ == "__main__":
    sys.exit(main())
