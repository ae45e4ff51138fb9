"""What a picture's header says of it, and whether decoding it could blow up; without decoding it.

Each of the formats that the decoder stb_image reads is read here as it does, so that the size found
is the size that it will allocate.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

FORMATS = ("PNG", "JPEG", "GIF", "BMP")
"""What every decoder reads; WEBP is read where it is asked for."""

_PNG = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of PNG's color types
_PASSES = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
"""Of an interlaced PNG: first column and row, and the steps from there."""
_FRAMES = (0xC0, 0xC1, 0xC2)
"""JPEG's markers of a picture: baseline, extended, progressive."""
_TABLES = (0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE)
"""JPEG's markers of what may come before it."""
_START_OF_SCAN = b"\xff\xda"
_MOST_SCANS = 100
_MOST_SEGMENTS = 10_000
_MOST_FILLING = 64 << 10
"""Bytes between the segments of a JPEG."""
_MOST_BLOCKS = 100_000
"""Of a GIF; a full one has 255 bytes."""
_NO_LENGTH = (0x01, *range(0xD0, 0xD9))
"""JPEG's markers that stand alone."""
_STEP = 1 << 20


class ImageHeader(NamedTuple):
    """Sizes in pixels."""

    format: str
    width: int
    height: int


class BadImage(Exception):
    """Why it cannot be read, as the end of a sentence that begins with the picture."""


def read_image_header(data: bytes, formats: Sequence[str] = FORMATS) -> ImageHeader:
    """The format and size of a picture.

    Args:
        formats: those that are read.

    Raises:
        BadImage: another format, or a header that ends too early or makes no sense.
    """
    try:
        header = _read(data, formats)
    except (struct.error, IndexError, ValueError):
        raise BadImage("ends within its header") from None
    if header.width < 1 or header.height < 1:
        raise BadImage(f"is {header.width} by {header.height} pixels large")
    return header


def check_expansion(data: bytes, header: ImageHeader) -> None:
    """Check that decoding takes no more than the size in the header explains.

    A PNG may hold any amount of compressed data behind a small header, a JPEG any number of passes
    over the whole picture, and each of them any number of pieces that say nothing, for which
    decoders take time and memory. Takes about as long as decoding.

    Raises:
        BadImage: it takes more, or what is compressed is damaged.
    """
    if header.format == "PNG":
        _check_deflated(data, header)
    elif header.format == "JPEG":
        if data.count(_START_OF_SCAN) > _MOST_SCANS:
            raise BadImage(f"has more than {_MOST_SCANS} scans")
        _check_segments(data)
    elif header.format == "GIF":
        _check_blocks(data)


def _read(data: bytes, formats: Sequence[str]) -> ImageHeader:
    if data.startswith(_PNG):
        if data[12:16] != b"IHDR":
            raise BadImage("is a PNG file that does not begin with its header")
        return ImageHeader("PNG", *struct.unpack_from(">II5x", data, 16))
    if data.startswith(b"\xff\xd8"):
        return _read_jpeg(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return ImageHeader("GIF", *struct.unpack_from("<HH", data, 6))
    if data.startswith(b"BM"):
        (size,) = struct.unpack_from("<I", data, 14)
        width, height = struct.unpack_from("<HH" if size == 12 else "<ii", data, 18)
        return ImageHeader("BMP", width, abs(height))
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP" and "WEBP" in formats:
        return ImageHeader("WEBP", *_webp_size(data))
    raise BadImage(f"is of a format that is not read here; expected {', '.join(formats)}")


def _webp_size(data: bytes) -> tuple[int, int]:
    kind = data[12:16]
    if kind == b"VP8X":
        low, high = struct.unpack_from("<IH", data, 24)
        return (low & 0xFFFFFF) + 1, (low >> 24 | high << 8) + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise BadImage("is a WEBP file of a kind that is not read here, or damaged")


def _read_jpeg(data: bytes) -> ImageHeader:
    position = 2
    for _ in range(_MOST_SEGMENTS):
        position = data.index(b"\xff", position)
        while data[position] == 0xFF:
            position += 1
        marker = data[position]
        position += 1
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", data, position + 3)
            return ImageHeader("JPEG", width, height)
        if marker not in _TABLES:
            raise BadImage("is a JPEG file of a kind that is not read here, or damaged")
        position += int(struct.unpack_from(">H", data, position)[0])
    raise BadImage(f"is a JPEG file with more than {_MOST_SEGMENTS} segments before its picture")


def _check_segments(data: bytes) -> None:
    """Those of a JPEG before its first scan."""
    position, filling = 2, 0
    for _ in range(_MOST_SEGMENTS):
        start = data.find(b"\xff", position)
        if start < 0:
            return
        end = start + 1
        while data[end : end + 1] == b"\xff" and end - start <= _MOST_FILLING + 1:
            end += 1
        filling += end - position - 1
        if filling > _MOST_FILLING:
            raise BadImage(f"has more than {_MOST_FILLING} bytes between its segments")
        marker = data[end : end + 1]
        if marker in (b"", b"\xda", b"\xd9"):
            return
        position = end + 1
        if marker[0] not in _NO_LENGTH:
            position += max(2, int.from_bytes(data[position : position + 2], "big"))
    raise BadImage(f"has more than {_MOST_SEGMENTS} segments before its first scan")


def _check_blocks(data: bytes) -> None:
    """Those of a GIF: extensions, frames, and what they are cut into."""
    flags = data[10:11] or b"\0"
    position = 13 + _colors(flags[0])
    blocks = 0
    while position < len(data) and data[position] in (0x21, 0x2C):
        if data[position] == 0x21:
            position += 2
        else:
            position += 11 + _colors((data[position + 9 : position + 10] or b"\0")[0])
        size = 1
        while size:  # the last one is empty
            size = data[position] if position < len(data) else 0
            position += 1 + size
            blocks += 1
            if blocks > _MOST_BLOCKS:
                raise BadImage(f"is a GIF file of more than {_MOST_BLOCKS} blocks")


def _colors(flags: int) -> int:
    """Bytes of a GIF's table of colors."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _check_deflated(data: bytes, header: ImageHeader) -> None:
    depth, color, _, _, interlaced = struct.unpack_from("5B", data, 24)
    if color not in _CHANNELS:
        raise BadImage(f"is a PNG file of the unknown color type {color}")
    bits = depth * _CHANNELS[color]
    expected = _raw_size(header, bits, interlaced != 0)
    inflate = zlib.decompressobj()
    size = 0
    try:
        for chunk in _image_data(data):
            size += len(inflate.decompress(chunk, _STEP))
            while inflate.unconsumed_tail:
                size += len(inflate.decompress(inflate.unconsumed_tail, _STEP))
                if size > expected:
                    break
            if size > expected:
                raise BadImage(
                    f"holds more data than its {header.width} by {header.height} pixels have"
                )
    except zlib.error as error:
        raise BadImage(f"is a damaged PNG file ({error})") from None


def _raw_size(header: ImageHeader, bits: int, interlaced: bool) -> int:
    """Bytes of a PNG's rows, each with the byte that says how it is filtered."""
    passes = _PASSES if interlaced else ((0, 0, 1, 1),)
    size = 0
    for left, top, across, down in passes:
        columns = -(-(header.width - left) // across)
        rows = -(-(header.height - top) // down)
        if columns > 0 and rows > 0:
            size += rows * (1 + -(-columns * bits // 8))
    return size


def _image_data(data: bytes) -> list[memoryview]:
    """The compressed parts of a PNG, in order."""
    view = memoryview(data)
    parts: list[memoryview] = []
    position = len(_PNG)
    chunks = 0
    while position + 8 <= len(data):
        chunks += 1
        if chunks > _MOST_SEGMENTS:
            raise BadImage(f"is a PNG file of more than {_MOST_SEGMENTS} chunks")
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind == b"IDAT":
            parts.append(view[position + 8 : position + 8 + length])
        elif kind == b"IEND":
            break
        position += length + 12
    return parts
