"""Pictures that requests bring: bounds before decoding, and what is made of them."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.pictures import bmp, gif, jpeg, noise, png, png_file
from xinfer.errors import InvalidRequest, PayloadTooLarge
from xinfer.model import pictures as bounds
from xinfer.model.image import pictures
from xinfer.types.request import Media


def read(medium: Media) -> Any:
    pictures.check(medium)
    return pictures.decode(medium)


def saved(image: Any, kind: str = "PNG", **more: Any) -> Media:
    file = io.BytesIO()
    image.save(file, kind, **more)
    return Media(file.getvalue(), "image")


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "WEBP", "JPEG"])
def test_usual_formats_are_read(kind: str) -> None:
    medium = saved(Image.new("RGB", (30, 20), (200, 10, 10)), kind, quality=100)
    pictures.check(medium)
    found = np.asarray(pictures.decode(medium))
    assert found.shape == (20, 30, 3)
    assert np.abs(found.astype(int) - (200, 10, 10)).max() <= 3


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (png_file(50_000, 50_000, b""), PayloadTooLarge, "50000 by 50000 pixels"),
        (png(noise(1)) + bytes(bounds.MAX_BYTES), PayloadTooLarge, "bytes"),
        (b"", InvalidRequest, "is empty"),
        (b"%PDF-1.7", InvalidRequest, "expected PNG, JPEG, GIF, BMP, WEBP"),
        (b"RIFF\0\0\0\0WEBPVP8X" + bytes(30), InvalidRequest, "damaged"),
        (b"RIFF\0\0\0\0WEBPnone" + bytes(30), InvalidRequest, "of a kind that is not read"),
        (jpeg(scans=200), InvalidRequest, "more than 100 scans"),
    ],
)
def test_what_would_take_too_much_is_refused_by_its_header(
    data: bytes, kind: type[Exception], reason: str
) -> None:
    with pytest.raises(kind, match=reason) as refused:
        pictures.check(Media(data, "image[1]"))
    assert refused.value.param == "image[1]"  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_pictures_that_move_are_refused(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), (shade, 0, 0)) for shade in range(0, 250, 25)]
    medium = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(InvalidRequest, match="several frames"):
        pictures.check(medium)


def test_a_picture_that_ends_anywhere_is_refused_in_words() -> None:
    for whole in (png(noise(1)), jpeg(), gif(), bmp(noise(2))):
        for end in range(min(len(whole), 60) - 2):
            with pytest.raises(InvalidRequest) as refused:
                read(Media(whole[:end], "image"))
            assert refused.value.param == "image"


def test_damage_behind_the_header_is_found_when_it_is_decoded() -> None:
    whole = saved(Image.fromarray(noise(1, 64, 64)), "JPEG")
    cut = Media(whole.data[: len(whole.data) // 2], "image")
    pictures.check(cut)
    with pytest.raises(InvalidRequest, match="damaged"):
        pictures.decode(cut)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_notes_on_a_picture_that_are_damaged_are_the_fault_of_the_request(kind: str) -> None:
    noted = saved(Image.new("RGB", (4, 2)), kind, exif=b"Exif\0\0not a TIFF header")
    pictures.check(noted)
    for decode in (pictures.decode, pictures.decode_mask):
        with pytest.raises(InvalidRequest, match="damaged"):
            decode(noted)


def test_a_frame_that_exceeds_its_gif_is_refused_before_it_is_decoded() -> None:
    data = bytearray(saved(Image.new("P", (32, 32)), "GIF").data)
    frame = data.index(b",\0\0\0\0")
    data[frame + 5 : frame + 9] = struct.pack("<HH", 8_000, 8_000)
    with pytest.raises(InvalidRequest, match="8000 by 8000"):
        pictures.check(Media(bytes(data), "image"))


def test_what_is_transparent_is_white_and_pictures_are_upright() -> None:
    image = Image.new("RGBA", (4, 2), (0, 0, 0, 0))
    image.putpixel((0, 0), (255, 0, 0, 255))
    found = np.asarray(pictures.decode(saved(image)))
    assert found[0, 0].tolist() == [255, 0, 0]
    assert found[1, 3].tolist() == [255, 255, 255]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned = pictures.decode(saved(Image.new("RGB", (4, 2)), exif=exif))
    assert turned.size == (2, 4)


def test_shades_of_16_bits_keep_their_order() -> None:
    image = Image.new("I;16", (3, 1))
    for column, shade in enumerate((0, 0x4000, 0xFFFF)):
        image.putpixel((column, 0), shade)
    medium = saved(image)
    pictures.check(medium)
    assert np.asarray(pictures.decode_mask(medium)).tolist() == [[0, 63, 255]]
    assert np.asarray(pictures.decode(medium))[0, 1].tolist() == [63, 63, 63]


def test_a_mask_is_what_is_white_or_else_what_is_transparent() -> None:
    gray = Image.new("L", (2, 1))
    gray.putpixel((1, 0), 255)
    assert np.asarray(pictures.decode_mask(saved(gray))).tolist() == [[0, 255]]
    clear = Image.new("RGBA", (2, 1), (255, 255, 255, 255))
    clear.putpixel((1, 0), (0, 0, 0, 0))
    assert np.asarray(pictures.decode_mask(saved(clear))).tolist() == [[0, 255]]
    opaque = Image.new("RGBA", (1, 1), (255, 255, 255, 255))
    assert np.asarray(pictures.decode_mask(saved(opaque))).tolist() == [[255]]


def test_what_is_sent_back_is_the_same_pixels() -> None:
    pixels = noise(3)
    data = pictures.encode(Image.fromarray(pixels))
    assert np.asarray(Image.open(io.BytesIO(data))).tolist() == pixels.tolist()
