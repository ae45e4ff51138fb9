"""What replicas print: the last lines in memory, also after death, and capped files on disk."""

from __future__ import annotations

import asyncio
import codecs
import logging
import re
from collections import deque
from contextlib import suppress
from pathlib import Path

logger = logging.getLogger(__name__)

READ_SIZE = 64 << 10
"""The most bytes that are taken of the output at once."""
MAX_LINE = 16 << 10
"""Characters after which a line is broken in two."""
MAX_FILE_BYTES = 8 << 20
"""Size at which a replica's file is moved aside, over the one moved before, and begun anew."""
MAX_FILES = 100
"""Files kept in the directory; the oldest go."""
MAX_ENDED = 64
"""Logs of ended replicas kept in memory."""


class LineLog:
    """The last `limit` lines of one replica's output."""

    def __init__(self, limit: int) -> None:
        self._lines: deque[str] = deque(maxlen=limit)
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def append(self, data: bytes) -> None:
        """Take what the process printed; bytes that are no UTF-8 become replacement marks."""
        *lines, rest = (self._rest + self._decoder.decode(data)).split("\n")
        self._lines.extend(map(_as_shown, lines))
        if "\r" in rest:
            rest = _as_shown(rest) + ("\r" if rest.endswith("\r") else "")
        while len(rest) > MAX_LINE:
            self._lines.append(rest[:MAX_LINE])
            rest = rest[MAX_LINE:]
        self._rest = rest

    def tail(self, count: int) -> list[str]:
        """The last `count` lines, an unfinished one included."""
        lines = list(self._lines)
        if self._rest:
            lines.append(_as_shown(self._rest))
        return lines[max(0, len(lines) - count) :]


class LogFile:
    """A replica's output on disk, at most twice `MAX_FILE_BYTES`. Its methods block on the disk.

    Raises:
        OSError: from every method but `close`, as the file system has it.
    """

    def __init__(self, directory: Path, replica_id: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # A replica's id ends in what makes it unique; file names must be short on some systems.
        self.path = directory / (
            re.sub(r"[^\w.-]", "_", replica_id, flags=re.ASCII)[-120:] + ".log"
        )
        self._file = self.path.open("ab")
        _prune(directory)

    def write(self, data: bytes) -> None:
        if self._file.tell() + len(data) > MAX_FILE_BYTES:
            self._file.close()
            self.path.replace(self.path.with_suffix(".log.1"))
            self._file = self.path.open("ab")
        self._file.write(data)
        self._file.flush()

    def close(self) -> None:
        with suppress(OSError):  # what a full disk did not take is tried once more, and is lost
            self._file.close()


class LogBook:
    """The last lines of this worker's replicas, by replica id."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._logs: dict[str, LineLog] = {}
        self._ended: dict[str, None] = {}

    def open(self, replica_id: str) -> LineLog:
        """Begin the log of a new replica."""
        log = self._logs[replica_id] = LineLog(self._limit)
        return log

    def end(self, replica_id: str) -> None:
        """The replica has ended: its log stays until `MAX_ENDED` others have ended after it."""
        self._ended[replica_id] = None
        while len(self._ended) > MAX_ENDED:
            oldest = next(iter(self._ended))
            del self._ended[oldest], self._logs[oldest]

    def tail(self, replica_id: str, lines: int) -> list[str]:
        """Its last lines; none when it is not known here (any more)."""
        log = self._logs.get(replica_id)
        return log.tail(lines) if log else []


def _as_shown(line: str) -> str:
    """What a terminal shows of a line in which carriage returns began anew."""
    return line.rstrip("\r").rpartition("\r")[2]


def _prune(directory: Path) -> None:
    files = sorted(directory.glob("*.log*"), key=_changed)
    for path in files[: max(0, len(files) - MAX_FILES)]:
        path.unlink(missing_ok=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another replica's start has pruned it
        return 0.0


async def keep_output(
    reader: asyncio.StreamReader, log: LineLog, directory: Path, replica_id: str
) -> None:
    """Keep what a replica prints, in `log` and in a file of its own, until the output ends; the
    disk's trouble is not the replica's."""
    file: LogFile | None = None
    try:
        file = await asyncio.to_thread(LogFile, directory, replica_id)
    except OSError as error:
        logger.warning("The output of %s is not written to disk: %s", replica_id, error)
    try:
        while data := await reader.read(READ_SIZE):
            log.append(data)
            if file is not None:
                try:
                    await asyncio.to_thread(file.write, data)
                except OSError as error:
                    logger.warning("The log file %s ends early: %s", file.path, error)
                    file.close()
                    file = None
    finally:
        if file is not None:
            file.close()
