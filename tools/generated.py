"""Pages that a program writes: written anew, or held against the file that is there."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def write_or_check(
    page: str, target: Path, *, module: str, description: str | None, argv: Sequence[str] | None
) -> int:
    """Read the command line of `module`, whose page this is; the exit status."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(argv)
    if not options.check:
        target.write_text(page, encoding="utf-8")
        return 0
    if target.is_file() and target.read_text(encoding="utf-8") == page:
        return 0
    print(f"{target} is not current: run python -m {module}", file=sys.stderr)
    return 1
