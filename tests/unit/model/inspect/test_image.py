"""Pictures' headers, and pictures that would blow up when they are decoded."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pictures import bmp, gif, jpeg, noise, png, png_file
from xinfer.model.inspect.image import BadImage, ImageHeader, check_expansion, read_image_header

EXIF = b"\xff\xe1\x00\x10Exif\0\0" + b"\xff\xd8\xff\xc0" + b"\0" * 4
"""A segment that holds what looks like the beginning of another picture."""
PICTURES = {
    "png": (png(noise(1, 40, 30)), ImageHeader("PNG", 40, 30)),
    "bmp": (bmp(noise(1, 41, 30)), ImageHeader("BMP", 41, 30)),
    "gif": (gif(300, 2), ImageHeader("GIF", 300, 2)),
    "jpeg": (jpeg(width=640, height=480), ImageHeader("JPEG", 640, 480)),
    "jpeg with segments": (
        jpeg(before=EXIF + b"\xff\xff\xff\xfe\0\x05abc"),
        ImageHeader("JPEG", 8, 8),
    ),
    "progressive": (jpeg().replace(b"\xff\xc0", b"\xff\xc2"), ImageHeader("JPEG", 8, 8)),
}
each = pytest.mark.parametrize(("data", "header"), PICTURES.values(), ids=PICTURES)


@each
def test_headers_tell_format_and_size(data: bytes, header: ImageHeader) -> None:
    assert read_image_header(data) == header
    check_expansion(data, header)


@each
def test_a_picture_that_ends_in_its_header_is_bad(data: bytes, header: ImageHeader) -> None:
    for length in range(10):
        with pytest.raises(BadImage):
            read_image_header(data[:length])


@given(st.sampled_from([data for data, _ in PICTURES.values()]), st.data())
def test_whatever_is_wrong_with_it_is_said_in_one_way(picture: bytes, data: st.DataObject) -> None:
    damaged = bytearray(picture[: data.draw(st.integers(0, len(picture)))])
    for _ in range(data.draw(st.integers(0, 3)) if damaged else 0):
        place = data.draw(st.integers(0, min(len(damaged) - 1, 60)))
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        header = read_image_header(bytes(damaged))
        check_expansion(bytes(damaged), header)
    except BadImage:
        pass
    else:
        assert header.width > 0
        assert header.height > 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"hello",
        b"<svg></svg>",
        b"RIFF\x24\0\0\0WEBPVP8 ",
        b"II*\0",
        b"%PDF-1.7",
        b"P6 1 1 255",
    ],
)
def test_other_formats_are_named_as_such(data: bytes) -> None:
    with pytest.raises(BadImage, match="expected PNG, JPEG, GIF, BMP"):
        read_image_header(data)


def test_old_and_upside_down_bitmaps() -> None:
    old = b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 7, 5, 1, 24)
    assert read_image_header(old) == ImageHeader("BMP", 7, 5)
    top_down = b"BM" + bytes(12) + struct.pack("<Iii", 40, 7, -5)
    assert read_image_header(top_down) == ImageHeader("BMP", 7, 5)


@pytest.mark.parametrize("size", [(0, 5), (5, 0)])
def test_a_picture_without_pixels_is_bad(size: tuple[int, int]) -> None:
    with pytest.raises(BadImage, match="pixels large"):
        read_image_header(png_file(*size, zlib.compress(b"")))


@pytest.mark.parametrize("marker", [0xC3, 0xC9, 0xD9, 0x01])
def test_jpegs_that_are_not_read_are_bad(marker: int) -> None:
    with pytest.raises(BadImage, match="kind that is not read here"):
        read_image_header(jpeg().replace(b"\xff\xc0", bytes([0xFF, marker])))


def test_a_jpeg_of_nothing_but_segments_is_given_up() -> None:
    with pytest.raises(BadImage, match="segments"):
        read_image_header(jpeg(before=b"\xff\xfe\0\2" * 20_000))


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(("color", "channels"), [(0, 1), (2, 3), (3, 1), (4, 2), (6, 4)])
def test_a_png_may_hold_its_rows_and_no_byte_more(
    color: int, channels: int, interlaced: int
) -> None:
    width, height = 13, 7
    passes = [(13, 7)]
    if interlaced:
        passes = [(2, 1), (2, 1), (4, 1), (3, 2), (7, 2), (6, 4), (13, 3)]
    size = sum(rows * (1 + columns * channels) for columns, rows in passes)

    def made(amount: int) -> bytes:
        data = zlib.compress(bytes(amount))
        return png_file(width, height, data, color=color, interlaced=interlaced)

    check_expansion(made(size), read_image_header(made(size)))
    with pytest.raises(BadImage, match="more data than its 13 by 7 pixels"):
        check_expansion(made(size + 1), read_image_header(made(size + 1)))


def test_a_png_that_inflates_a_thousandfold_is_refused() -> None:
    deflate = zlib.compressobj()
    data = b"".join([deflate.compress(bytes(1 << 20)) for _ in range(64)]) + deflate.flush()
    bomb = png_file(40, 30, data)
    assert len(bomb) < 100_000
    with pytest.raises(BadImage, match="more data"):
        check_expansion(bomb, read_image_header(bomb))


def test_a_png_with_damaged_data_is_bad() -> None:
    picture = png_file(40, 30, b"not deflated")
    with pytest.raises(BadImage, match="damaged PNG"):
        check_expansion(picture, read_image_header(picture))


def test_a_jpeg_of_many_scans_is_refused() -> None:
    few, many = jpeg(scans=10), jpeg(scans=101)
    check_expansion(few, read_image_header(few))
    with pytest.raises(BadImage, match="more than 100 scans"):
        check_expansion(many, read_image_header(many))
