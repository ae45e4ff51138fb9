"""`pip install …`, where pages say it: whether that has been done here. A test installs nothing.

Exit status 3 and a word about what is missing, if it has not.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement

_WITH_VALUE = ("-c", "--constraint")
MISSING = 3


def _wanted(words: list[str]) -> Iterator[Requirement]:
    rest = iter(words)
    for word in rest:
        if word in _WITH_VALUE:
            next(rest)
        else:
            yield Requirement(word.replace(".", "xinfer", 1) if word[0] == "." else word)


def missing(wanted: Requirement) -> Iterator[str]:
    """What is not installed of it, and of its extras' packages."""
    try:
        here = version(wanted.name)
    except PackageNotFoundError:
        yield wanted.name
        return
    unknown = wanted.extras - set(metadata(wanted.name).get_all("Provides-Extra") or [])
    if unknown:
        raise SystemExit(f"{wanted.name} has no extra {', '.join(unknown)}")
    if not wanted.specifier.contains(here, prereleases=True):
        yield f"{wanted.name} is {here}"
    for text in requires(wanted.name) or []:
        needed = Requirement(text)
        marker = needed.marker
        if marker and any(marker.evaluate({"extra": extra}) for extra in wanted.extras or {""}):
            yield from missing(needed)


def main(words: list[str]) -> int:
    if words[0] != "install":
        raise SystemExit(f"pages may have pip install packages, not {words}")
    found = [each for wanted in _wanted(words[1:]) for each in missing(wanted)]
    print("not installed:", ", ".join(found) or "nothing")
    return MISSING if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
