"""The machine: the home directory, disk, memory, limits."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from xinfer.core.worker.devices.memory import main_memory
from xinfer.deploy.doctor.finding import Finding, State

AREA = "machine"
LITTLE_DISK = 10 << 30
"""Bytes below which a model of usual size cannot be downloaded."""
LITTLE_SHARED_MEMORY = 1 << 30
"""Bytes below which vLLM's processes cannot exchange tensors."""
FEW_FILES = 4096
"""Open files; each connection is one."""


def examine_home(home: Path) -> Iterator[Finding]:
    """Whether the home directory can be written, and has room for models."""
    place = next(each for each in (home, *home.parents) if os.path.exists(each))
    if not os.access(place, os.W_OK | os.X_OK):
        user = os.geteuid()
        yield Finding(
            AREA,
            State.FAULT,
            f"{home} cannot be written by this user ({user}); {place} is user "
            f"{place.stat().st_uid}'s",
            f"chown -R {user} {place}, or set XINFERENCE_HOME to another directory",
        )
        return
    free = shutil.disk_usage(place).free
    text = f"{home}: {free >> 30} GiB free"
    if free < LITTLE_DISK:
        fix = "xinference remove-cache, or set XINFERENCE_HOME to a directory on another disk"
        yield Finding(AREA, State.FAULT, text, fix)
    else:
        yield Finding(AREA, State.OK, text)


def examine_memory() -> Iterator[Finding]:
    """Main memory and processors, within the limits of a container."""
    memory = main_memory()
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count()
    available, total = memory.available / 2**30, memory.total / 2**30
    text = f"{cores} processor cores, {available:.1f} of {total:.1f} GiB of memory free"
    yield Finding(AREA, State.OK, text)


def examine_limits(
    files: int | None = None, shared: Path = Path("/dev/shm"), gpus: int = 0
) -> Iterator[Finding]:
    """Open files, and memory that processes can share.

    Args:
        files: how many this user's processes may open; None asks the system.
        gpus: shared memory matters where one model is divided among several.
    """
    files = _most_files() if files is None else files
    if files < FEW_FILES:
        text = f"at most {files} open files, of which each connection is one"
        yield Finding(AREA, State.FAULT, text, "ulimit -n 65536, or LimitNOFILE=65536 in the unit")
    if gpus > 1 and shared.is_dir():
        size = shutil.disk_usage(shared).total
        if size < LITTLE_SHARED_MEMORY:
            yield Finding(
                AREA,
                State.FAULT,
                f"{shared} has {size >> 20} MiB: too little to divide a model among {gpus} GPUs",
                "start the container with --shm-size 8g or --ipc host",
            )


def _most_files() -> int:
    if sys.platform == "win32":
        return FEW_FILES
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return sys.maxsize if hard == resource.RLIM_INFINITY else hard
