"""Small pictures in the formats that are read, written by hand."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def noise(seed: int, width: int = 40, height: int = 30) -> Pixels:
    """Random pixels, (height, width, 3)."""
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(pixels: Pixels) -> bytes:
    """A PNG file of pixels (height, width, 3)."""
    height, width, _ = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return png_file(width, height, zlib.compress(rows))


def png_file(width: int, height: int, data: bytes, *, color: int = 2, interlaced: int = 0) -> bytes:
    """A PNG file of 8 bits a channel that claims this size and has this compressed data."""
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, interlaced)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def bmp(pixels: Pixels) -> bytes:
    """A BMP file, whose rows are bottom up and padded to four bytes."""
    height, width, _ = pixels.shape
    padding = b"\0" * (-3 * width % 4)
    rows = b"".join(row[:, ::-1].tobytes() + padding for row in pixels[::-1])
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, len(rows), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + info + rows


def gif(width: int = 4, height: int = 4) -> bytes:
    """A GIF file of one color: every pixel is a code of its own, after a clear."""
    screen = struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes([200, 10, 10, 0, 0, 0])
    image = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0)
    bits = "".join(f"{code:03b}"[::-1] for _ in range(width * height) for code in (4, 0))
    bits += f"{5:03b}"[::-1]
    data = bytes(int(bits[i : i + 8].ljust(8, "0")[::-1], 2) for i in range(0, len(bits), 8))
    blocks = [data[start : start + 255] for start in range(0, len(data), 255)]
    body = b"".join(bytes([len(block)]) + block for block in blocks)
    return b"GIF89a" + screen + image + b"\x02" + body + b"\0;"


def jpeg(*, scans: int = 1, width: int = 8, height: int = 8, before: bytes = b"") -> bytes:
    """A gray JPEG file of 8 by 8 pixels, whatever size it claims; `before` are more segments."""
    table = _segment(0xDB, b"\0" + b"\1" * 64)
    frame = _segment(0xC0, struct.pack(">BHHB3B", 8, height, width, 1, 1, 0x11, 0))
    codes = b"".join(
        _segment(0xC4, bytes([kind]) + bytes([1] + [0] * 15) + b"\0") for kind in (0x00, 0x10)
    )
    scan = _segment(0xDA, b"\1\1\0\0\x3f\0") + b"\x3f"
    return b"\xff\xd8" + before + table + frame + codes + scan * scans + b"\xff\xd9"


def data_url(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _chunk(kind: bytes, data: bytes) -> bytes:
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))


def _segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data
