"""What a compiled library can compute on, by the libraries that it was linked with."""

from __future__ import annotations

import mmap
from collections.abc import Iterable
from functools import cache
from pathlib import Path

_LINKED = {
    "cuda": (b"libcuda.so.1", b"nvcuda.dll"),
    "rocm": (b"libamdhip64", b"amdhip64"),
    "metal": (b"/Metal.framework/",),
}


def linked_accelerators(files: Iterable[Path]) -> frozenset[str]:
    """Kinds of accelerator (cuda, rocm, metal) that these libraries have code for.

    Nothing is loaded: a driver would be woken by it, and each process pays for that. Searching
    100 MB takes about 0.1 s, once for each file as it is.
    """
    found = [(file, file.stat()) for file in files]
    return frozenset().union(
        *(_linked(file, stat.st_size, stat.st_mtime_ns) for file, stat in found if stat.st_size)
    )


@cache
def _linked(file: Path, size: int, changed: int) -> frozenset[str]:
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as m:
        return frozenset(
            kind for kind, names in _LINKED.items() if any(m.find(name) >= 0 for name in names)
        )
