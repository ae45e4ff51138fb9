"""How fast a file comes in."""

from __future__ import annotations

from collections import deque

from xinfer.model.files import ModelFile
from xinfer.types.model import FileProgress

_WINDOW = 10.0
"""Seconds over which the speed is taken: an estimate of the rest must not jump."""


class Meter:
    """Counts one file's bytes. One thread counts, another looks."""

    def __init__(self, file: ModelFile) -> None:
        self._file = file
        self._looks: deque[tuple[float, int]] = deque()
        self._began: float | None = None
        self.bytes = 0
        """Of the file that are here."""
        self.status = "pending"

    def look(self, now: float) -> FileProgress:
        """What is known of it at a time (monotonic)."""
        if self._began is None and self.status != "pending":
            self._began = now
        come = self.bytes
        if self._looks and come < self._looks[-1][1]:
            self._looks.clear()  # begun anew
        self._looks.append((now, come))
        while now - self._looks[0][0] > _WINDOW:
            self._looks.popleft()
        since, had = self._looks[0]
        speed = (come - had) / (now - since) if now > since else 0.0
        left = self._file.size - come
        return FileProgress(
            name=self._file.name,
            downloaded_bytes=come,
            total_bytes=self._file.size,
            speed_bytes_per_second=round(speed, 1),
            elapsed_seconds=round(now - self._began, 1) if self._began is not None else 0.0,
            eta_seconds=round(left / speed, 1) if speed > 0 else (None if left else 0.0),
            status=self.status,
        )
