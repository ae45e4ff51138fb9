"""Every covered row of the fault list has a test of its name, and no test names another row."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.rows import ALL, COVERED

_TEST = re.compile(r"^(?:async )?def test_([fs]\d\d)_\w+\(", re.MULTILINE)


def test_covered_rows_have_tests_and_tests_name_covered_rows() -> None:
    named = {
        row
        for path in Path(__file__).parent.glob("test_*.py")
        for row in _TEST.findall(path.read_text())
    }
    assert named == COVERED
    assert named <= ALL
