"""What a large answer is made of, on disk until it has been sent."""

from __future__ import annotations

import asyncio
import base64
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from tempfile import SpooledTemporaryFile
from typing import IO, NamedTuple

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from xinfer.errors import Unavailable

IN_MEMORY = 4 << 20
"""Bytes up to which nothing is on disk: a picture of a usual size, or some minutes of speech."""
_PIECE = 192 << 10
"""Bytes that are read and sent at once; without a rest in base64."""


class Stretch(NamedTuple):
    """A part of a file."""

    start: int
    size: int
    base64: bool = False
    """Whether it is sent as such."""

    @property
    def length(self) -> int:
        """Bytes that are sent."""
        return (self.size + 2) // 3 * 4 if self.base64 else self.size


class Spool:
    """A file, by default one without a name. Its methods may come from several threads, and block.

    What is written after `close` goes nowhere: a thread that is still at it belongs to a request
    that has ended.
    """

    def __init__(self, file: IO[bytes] | None = None) -> None:
        self._file: IO[bytes] = file or SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._lock = threading.Lock()
        self.size = self._file.seek(0, os.SEEK_END) or 0
        """Bytes in it."""

    def add(self, data: bytes) -> Stretch:
        """Write it behind the rest; where it is.

        Raises:
            Unavailable: there is no room for it on disk.
        """
        with self._lock:
            stretch = Stretch(self.size, len(data))
            if self._file.closed:
                return stretch
            try:
                self._file.seek(self.size)
                self._file.write(data)
                self._file.flush()
            except OSError as error:
                raise Unavailable(
                    f"The answer is too large to be kept in memory, and cannot be kept on disk: "
                    f"{error.strerror or error}. Ask for less at once, or have the administrator "
                    "look at the directory for temporary files.",
                    code="no_capacity",
                ) from error
            self.size += len(data)
            return stretch

    def pieces(self, stretch: Stretch) -> Iterator[bytes]:
        """It, as it is sent.

        Raises:
            OSError: the file has been cut short meanwhile.
        """
        start, end = stretch.start, stretch.start + stretch.size
        while start < end:
            with self._lock:
                self._file.seek(start)
                data = self._file.read(min(_PIECE, end - start))
            if not data:
                raise OSError(f"a file ends {end - start} bytes before its end")
            start += len(data)
            yield base64.b64encode(data) if stretch.base64 else data

    def close(self) -> None:
        """Harmless when repeated."""
        with self._lock:
            self._file.close()


class SpooledAnswer(Response):
    """An answer that is read from its spool as its client takes it, and closes it at the end."""

    def __init__(
        self,
        spool: Spool,
        parts: Sequence[bytes | Stretch],
        *,
        media_type: str,
        headers: Mapping[str, str],
    ) -> None:
        length = sum(one.length if isinstance(one, Stretch) else len(one) for one in parts)
        self.status_code = 200
        self.background = None
        self.init_headers({**headers, "content-type": media_type, "content-length": str(length)})
        self._spool = spool
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            for part in self._parts:
                pieces = self._spool.pieces(part) if isinstance(part, Stretch) else iter((part,))
                while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            await asyncio.to_thread(self._spool.close)
