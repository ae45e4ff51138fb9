"""The lock on a home: one supervisor at a time."""

from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec

from xinfer import system
from xinfer.core.supervisor.store.contract import CannotStart

PATIENCE = 1.0
"""Seconds for which a supervisor whose server was just killed may take to leave."""
_RETRY = 0.05


class Holder(msgspec.Struct, frozen=True):
    """Who holds the lock, as its file tells."""

    pid: int
    since: str


class HomeLock:
    """Held until `release`, or until this process ends in whatever way.

    The file stays when the lock is gone; it is the system's lock on it that counts.

    Args:
        since: the time of day, for whoever is refused.

    Raises:
        CannotStart: another process holds it.
        OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, since: str, patience: float | None = None) -> None:
        self._descriptor = _open(path)
        try:
            _take(self._descriptor, path, PATIENCE if patience is None else patience)
        except BaseException:
            os.close(self._descriptor)
            raise
        try:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, msgspec.json.encode(Holder(os.getpid(), since)), 0)
        except OSError:  # a full or read-only disk: the lock holds all the same
            return

    def release(self) -> None:
        os.close(self._descriptor)


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        if not path.exists():
            raise
        return os.open(path, os.O_RDONLY)  # a read-only disk; to lock, this is enough


def _take(descriptor: int, path: Path, patience: float) -> None:
    deadline = time.monotonic() + patience
    while not system.try_lock(descriptor):
        if time.monotonic() >= deadline:
            raise CannotStart(
                f"{path.parent.parent} is in use by another server: {_holder(descriptor)}. "
                "Stop that server, or give this one a directory of its own: "
                "XINFERENCE_HOME=/another/directory"
            )
        time.sleep(_RETRY)


def _holder(descriptor: int) -> str:
    try:
        holder = msgspec.json.decode(os.pread(descriptor, 4096, 0), type=Holder)
    except (OSError, msgspec.DecodeError):
        return "its supervisor does not say which process it is"
    return f"its supervisor is process {holder.pid}, running since {holder.since}"
