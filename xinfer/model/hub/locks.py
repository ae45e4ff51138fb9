"""A lock between processes that ends with its holder, however that ends."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from xinfer import system


class EntryLock:
    """Held by whoever fills or removes one entry of the cache."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take it, if nobody holds it.

        Raises:
            OSError: the file cannot be made.
        """
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            if system.try_lock(fd):
                # Its last holder may have removed the file since it was opened.
                with suppress(FileNotFoundError):
                    if os.fstat(fd).st_ino == os.stat(self._path).st_ino:
                        self._fd, fd = fd, -1
                        return True
        finally:
            if fd >= 0:
                os.close(fd)
        return False

    def release(self, *, remove: bool = False) -> None:
        """Give it back.

        Args:
            remove: what it locked is done with: the file goes, too.
        """
        if self._fd is None:
            return
        if remove:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = None
