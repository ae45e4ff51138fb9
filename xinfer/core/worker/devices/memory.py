"""The node's main memory, as far as this process may use it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil


class MainMemory(NamedTuple):
    """In bytes. What is available counts what the kernel would give back, such as file caches."""

    total: int
    available: int

    @property
    def used(self) -> int:
        return self.total - self.available


class _Files(NamedTuple):
    """Names of a control group's files, and of the file caches in its memory.stat."""

    limit: str
    usage: str
    caches: tuple[str, ...]


_V2 = _Files("memory.max", "memory.current", ("active_file", "inactive_file"))
_V1 = _Files(
    "memory.limit_in_bytes",
    "memory.usage_in_bytes",
    ("total_active_file", "total_inactive_file"),
)


def main_memory(root: Path = Path("/")) -> MainMemory:
    """The machine's memory, or the container's where it has less. Takes tens of microseconds."""
    machine = psutil.virtual_memory()
    memory = MainMemory(machine.total, machine.available)
    if sys.platform == "linux":
        with suppress(OSError, ValueError):
            for limit in _limits(root):
                memory = MainMemory(
                    min(memory.total, limit.total), min(memory.available, limit.available)
                )
    return memory


def _limits(root: Path) -> Iterator[MainMemory]:
    """Of every control group that this process is in, from its own to the outermost."""
    for line in (root / "proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _climb(root / "sys/fs/cgroup", path, _V2)
        elif "memory" in controllers.split(","):
            yield from _climb(root / "sys/fs/cgroup/memory", path, _V1)


def _climb(mount: Path, path: str, files: _Files) -> Iterator[MainMemory]:
    # In a container the path may be the host's, of which only the mount itself is to be seen.
    group = mount / path.lstrip("/")
    for directory in (group, *group.parents):
        with suppress(OSError, ValueError):  # no limit says "max", or is not there at all
            most = int((directory / files.limit).read_text())
            held = int((directory / files.usage).read_text()) - _file_cache(directory, files)
            yield MainMemory(most, max(0, most - held))
        if directory == mount:
            return


def _file_cache(directory: Path, files: _Files) -> int:
    lines = (line.split() for line in (directory / "memory.stat").read_text().splitlines())
    return sum(int(value) for name, value in lines if name in files.caches)
