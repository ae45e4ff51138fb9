"""One file from a hub onto the disk: resumed where it stood, checked, then put under its name."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

from xinfer.errors import Cancelled, RateLimited, Unavailable
from xinfer.model.files import ModelFile
from xinfer.model.hub.cache import Corrupt, begin_digest, content_id, corrupt_file
from xinfer.model.hub.meter import Meter
from xinfer.model.hub.repository import Repository
from xinfer.settings import Settings

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 60.0  # seconds
_CHUNK = 1 << 20  # bytes

_never = threading.Event()


def part_path(directory: Path, file: ModelFile, commit: str) -> Path:
    """Where the bytes of a file lie that have come so far: another content has another place, so
    what is there can always be continued."""
    text = f"{file.name}\0{content_id(file, commit)}"
    return directory / f".xinfer-{hashlib.sha256(text.encode()).hexdigest()[:16]}.part"


def transfer(
    repository: Repository,
    file: ModelFile,
    directory: Path,
    meter: Meter,
    settings: Settings,
    cancelled: Callable[[], bool],
) -> None:
    """Have a file of a repository below `directory`, under its name once it is whole. Blocks.

    Raises:
        EngineFailed: it is not what the hub says it is (`corrupt_file`), also when begun anew.
        Cancelled: `cancelled` said so; what has come stays for the next time.
        Unavailable, RateLimited, NotFound, Forbidden: the hub does not give it, for several times.
        OSError: the disk does not take it.
    """
    target = directory / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_file() and target.stat().st_size == file.size:
        meter.bytes = file.size  # it got its name when it had been checked
        meter.status = "completed"
        return
    part = part_path(directory, file, repository.revision)
    wrong = _Receiver(repository, file, part, meter, settings, cancelled).receive()
    if wrong is not None:
        raise corrupt_file(repository.where, wrong)
    os.replace(part, target)
    meter.status = "completed"


class _Receiver:
    def __init__(
        self,
        repository: Repository,
        file: ModelFile,
        part: Path,
        meter: Meter,
        settings: Settings,
        cancelled: Callable[[], bool],
    ) -> None:
        self._repository = repository
        self._file = file
        self._part = part
        self._meter = meter
        self._settings = settings
        self._cancelled = cancelled
        self._digest = begin_digest(file)

    def receive(self) -> Corrupt | None:
        """Until all of it is in the part; how it differs from what it should be."""
        continued = self._take_up()
        self._meter.status = "downloading"
        failures = 0
        while self._meter.bytes < self._file.size:
            had = self._meter.bytes
            try:
                self._receive()
            except (Unavailable, RateLimited) as error:
                failures = 1 if self._meter.bytes > had else failures + 1
                if failures >= self._settings.download_max_attempts:
                    raise
                self._wait(error.retry_after or _FIRST_WAIT * 2 ** (failures - 1))
        self._meter.status = "verifying"
        wrong = self._check()
        if wrong is None:
            return None
        self._part.unlink(missing_ok=True)
        # What an earlier process left may have been damaged since.
        return self.receive() if continued else wrong

    def _take_up(self) -> bool:
        """Count and hash what is there; whether something was."""
        self._digest = begin_digest(self._file)
        self._meter.bytes = 0
        if self._part.is_symlink() or not self._part.exists():
            self._part.unlink(missing_ok=True)
            self._part.touch()
        if self._part.stat().st_size > self._file.size:
            os.truncate(self._part, 0)
        with self._part.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                self._count(chunk)
        return self._meter.bytes > 0

    def _receive(self) -> None:
        size = self._file.size
        body = self._repository.body(self._file.name, self._meter.bytes, size)
        with body as (begin, chunks), self._part.open("r+b", buffering=0) as opened:
            if begin != self._meter.bytes:
                self._digest = begin_digest(self._file)
                self._meter.bytes = 0
                opened.truncate(0)
            opened.seek(self._meter.bytes)
            for chunk in chunks:
                if self._cancelled():
                    raise Cancelled("The download was cancelled.")
                kept = memoryview(chunk)[: size - self._meter.bytes]
                written = 0
                while written < len(kept):
                    written += opened.write(kept[written:])
                self._count(kept)
                if len(kept) < len(chunk):
                    break
            os.fsync(opened.fileno())
        if self._meter.bytes < size:
            raise Unavailable(
                f"{self._repository.where}: {self._file.name} ended after {self._meter.bytes} of "
                f"{size} bytes.",
                code="hub_unreachable",
            )

    def _count(self, chunk: bytes | memoryview) -> None:
        if self._digest is not None:
            self._digest.update(chunk)
        self._meter.bytes += len(chunk)

    def _check(self) -> Corrupt | None:
        expected = self._file.sha256 or self._file.git_id
        if self._digest is None or self._digest.hexdigest() == expected:
            return None
        return Corrupt(name=self._file.name, expected=expected, actual=self._digest.hexdigest())

    def _wait(self, seconds: float) -> None:
        left = min(seconds, _LONGEST_WAIT)
        while left > 0:
            if self._cancelled():
                raise Cancelled("The download was cancelled.")
            _never.wait(min(left, 0.2))
            left -= 0.2
