"""QuickTime files of one sound, written by hand, with tables that claim what the test wants."""

from __future__ import annotations

import struct
import zlib

SOUND = bytes(4000)


def box(name: bytes, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return struct.pack(">I", len(data) + 8) + name + data


def full(name: bytes, *parts: bytes) -> bytes:
    """One that begins with version and flags."""
    return box(name, bytes(4), *parts)


def mov(count: int, size: int, *, steps: int = 1024, compressed: bool = False) -> bytes:
    """A file that claims so many samples, each of this size and of so many steps of time."""
    table = full(b"stsz", struct.pack(">II", size, count))
    times = full(b"stts", struct.pack(">III", 1, count, steps))
    head = _moov(count, times, table)
    if compressed:
        packed = box(b"cmvd", struct.pack(">I", len(head)), zlib.compress(head))
        head = box(b"moov", box(b"cmov", box(b"dcom", b"zlib"), packed))
    return box(b"ftyp", b"qt  ", bytes(4), b"qt  ") + box(b"mdat", SOUND) + head


def fragmented(*counts: int) -> bytes:
    """A file of fragments that claim so many samples each, all of four bytes."""
    tables = full(b"stsz", bytes(8)), full(b"stts", bytes(4))
    extends = box(b"mvex", full(b"trex", struct.pack(">IIIII", 1, 1, 1024, 4, 0)))
    runs = [full(b"trun", struct.pack(">I", count)) for count in counts]
    pieces = box(b"traf", full(b"tfhd", struct.pack(">I", 1)), *runs)
    fragment = box(b"moof", full(b"mfhd", struct.pack(">I", 1)), pieces)
    start = box(b"ftyp", b"isom", bytes(4), b"isom") + _moov(0, *tables, after=extends)
    return start + fragment + box(b"mdat", SOUND)


def _moov(count: int, times: bytes, table: bytes, after: bytes = b"") -> bytes:
    matrix = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
    kind = struct.pack(">HHHHI", 1, 16, 0, 0, 8000 << 16)
    entry = box(b"sowt", bytes(6), struct.pack(">H", 1), bytes(8), kind)
    tables = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1), entry),
        times,
        full(b"stsc", struct.pack(">IIII", 1, 1, count, 1)),
        table,
        full(b"stco", struct.pack(">II", 1, 28)),
    )
    own = full(b"dref", struct.pack(">I", 1), box(b"url ", b"\0\0\0\1"))
    sound = box(b"minf", full(b"smhd", bytes(4)), box(b"dinf", own), tables)
    media = box(
        b"mdia",
        full(b"mdhd", struct.pack(">IIIII", 0, 0, 8000, count, 0)),
        full(b"hdlr", bytes(4), b"soun", bytes(13)),
        sound,
    )
    track = box(
        b"trak",
        box(b"tkhd", b"\0\0\0\7", struct.pack(">IIIII", 0, 0, 1, 0, count), bytes(16), matrix),
        media,
    )
    times = struct.pack(">IIIIIH", 0, 0, 8000, count, 0x10000, 0x100)
    return box(
        b"moov", full(b"mvhd", times, bytes(10), matrix, bytes(24), b"\0\0\0\2"), track, after
    )
