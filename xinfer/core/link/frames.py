"""The frame format: a 4-byte little-endian length, then that many bytes.

An empty frame is a keepalive and is never handed on.
"""

from __future__ import annotations

import struct

_LENGTH = struct.Struct("<I")
HEADER_BYTES = _LENGTH.size
KEEPALIVE = _LENGTH.pack(0)


class FrameTooLarge(ConnectionError):
    """A frame over the limit: not sent, or announced by the peer and not allocated."""


def encode_frame(payload: bytes) -> bytes:
    return _LENGTH.pack(len(payload)) + payload


class FrameDecoder:
    """Cuts a byte stream into frames; keeps the unfinished rest between calls."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Frames that `data` completes, in order, without keepalives. Feed it until none come: it
        stops before one over the limit, because those before that one may raise the limit.

        Raises:
            FrameTooLarge: a header announces more than `max_bytes`.
        """
        if self._rest:
            self._rest += data
            if len(self._rest) < HEADER_BYTES:
                return []
            (length,) = _LENGTH.unpack_from(self._rest)
            if len(self._rest) - HEADER_BYTES < length:
                self._check(length)
                return []
            data, self._rest = bytes(self._rest), bytearray()
        frames: list[bytes] = []
        position, end = 0, len(data)
        while end - position >= HEADER_BYTES:
            (length,) = _LENGTH.unpack_from(data, position)
            if length > self.max_bytes and frames:
                break
            self._check(length)
            stop = position + HEADER_BYTES + length
            if stop > end:
                break
            if length:
                frames.append(data[position + HEADER_BYTES : stop])
            position = stop
        if position < end:
            self._rest += data[position:]
        return frames

    def _check(self, length: int) -> None:
        if length > self.max_bytes:
            raise FrameTooLarge(f"a frame of {length} bytes; the limit is {self.max_bytes}")
