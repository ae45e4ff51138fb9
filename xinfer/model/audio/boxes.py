"""What a QuickTime or MP4 file says that it consists of, before FFmpeg's libraries allocate by it:
some 36 bytes for each sample, of which a file of a few kilobytes may claim any number.

Everything but the media themselves is searched for the tables of samples, wherever they stand, so
that it does not matter how the libraries find them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from xinfer.errors import InvalidRequest, PayloadTooLarge
from xinfer.types.request import Media

MOST_SAMPLES = 1 << 21
"""Of all streams: twelve hours of AAC, or nine of film with its sound."""
MOST_EQUAL = 1 << 24
"""Of samples that are all of one size, as those of PCM, and are in the file."""

_TABLES = re.compile(rb"stsz|stz2|cmov")
_TABLES_OF_FRAGMENTS = re.compile(rb"stsz|stz2|cmov|trun")
_FRAGMENT = b"tfhd"
"""Without one the libraries take no `trun` for a table; it is a part of words, too, that stand in
titles."""
_FLUSH = b"\x82\x82\x7f\x7d"  # a box's name that is no text, and known to FFmpeg
_LENGTHS = struct.Struct(">I4s")


def check_boxes(media: Media) -> None:
    """
    Raises:
        PayloadTooLarge: it claims more samples than a recording has.
        InvalidRequest: its tables are compressed, and cannot be looked at.
    """
    if not _has_boxes(media.data):
        return
    samples = equal = size = 0
    for kind, table in _tables(media.data):
        if kind == b"cmov":
            raise InvalidRequest(
                f"{media.where}: the recording is a QuickTime file with a compressed header, which "
                "is not read here. Write it anew, as MP4 or M4A.",
                code="invalid_audio",
                param=media.where,
            )
        # Version and flags come first; then, of a fragment, the number alone.
        first, second = struct.unpack_from(">II", table.ljust(12, b"\0"), 4)
        if kind == b"stsz" and first and first * second + size <= len(media.data):
            equal, size = equal + second, size + first * second
        else:
            samples += first if kind == b"trun" else second
    if samples > MOST_SAMPLES or equal > MOST_EQUAL:
        raise PayloadTooLarge(
            f"{media.where}: the recording is said to have {samples + equal} samples, which is "
            f"more than its {len(media.data)} bytes can be or than is read here. Send it as "
            "another format, or in parts.",
            param=media.where,
        )


def _has_boxes(data: bytes) -> bool:
    name = data[4:8]
    return len(name) == 4 and (name == _FLUSH or all(0x20 <= byte < 0x7F for byte in name))


def _tables(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The name and the first bytes of each table outside of the media."""
    view = memoryview(data)
    names = _TABLES_OF_FRAGMENTS if _FRAGMENT in data else _TABLES
    for start, end in _outside(data):
        for found in names.finditer(view[start:end]):
            yield bytes(found[0]), bytes(view[start + found.end() : start + found.end() + 12])


def _outside(data: bytes) -> Iterator[tuple[int, int]]:
    """Where there are other boxes than those with the media; up to the end, once they make no
    sense."""
    at = start = 0
    while at + _LENGTHS.size <= len(data):
        size, name = _LENGTHS.unpack_from(data, at)
        if size == 1 and at + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, at + 8)
        elif size == 0:
            size = len(data) - at
        if size < _LENGTHS.size:
            break
        end = min(len(data), at + size)
        if name == b"mdat":
            yield start, at
            start = end
        at = end
    yield start, len(data)
