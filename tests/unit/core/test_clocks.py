"""Nothing in the core is decided by the time of day, which may jump."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import xinfer.core

CORE = Path(xinfer.core.__file__).parent
OF_DAY = {
    "time": {"time", "time_ns"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}
SHOWN_TO_PEOPLE = {
    "supervisor/supervisor.py",  # when a deployment or a replica was made
    "supervisor/store/opening.py",  # names of damaged files; a floor below counters that grow
}


def uses_of_the_time_of_day(source: str) -> list[int]:
    """The lines that speak of a function of `OF_DAY`."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if node.attr in OF_DAY.get(name, ()):
                lines.append(node.lineno)
        elif (
            isinstance(node, ast.ImportFrom)
            and node.module == "time"
            and any(alias.name in OF_DAY["time"] for alias in node.names)
        ):
            lines.append(node.lineno)
    return lines


def test_only_named_files_of_the_core_look_at_the_time_of_day() -> None:
    found = {
        str(path.relative_to(CORE))
        for path in CORE.rglob("*.py")
        if uses_of_the_time_of_day(path.read_text())
    }
    assert found == SHOWN_TO_PEOPLE


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("import time\nnow = time.time()", [2]),
        ("from time import monotonic, time", [1]),
        ("clock = time.time_ns", [1]),
        ("import datetime\ndatetime.datetime.now()", [2]),
        ("time.monotonic() + loop.time()", []),
        ("from time import monotonic", []),
    ],
)
def test_the_rule_finds_what_it_is_for(source: str, lines: list[int]) -> None:
    assert uses_of_the_time_of_day(source) == lines
