"""Fail when a source file is too long to be read in one go."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

LIMIT = 600
SOURCES = (".py", ".ts", ".tsx")
GENERATED = ("package-lock.json",)


def main() -> int:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    too_long = [
        (name, lines)
        for name in listed
        if name.endswith(SOURCES) and not name.endswith(GENERATED) and Path(name).is_file()
        if (lines := Path(name).read_text(encoding="utf-8").count("\n")) > LIMIT
    ]
    for name, lines in too_long:
        print(f"{name}: {lines} lines; the limit is {LIMIT}: split it by job")
    return 1 if too_long else 0


if __name__ == "__main__":
    sys.exit(main())
