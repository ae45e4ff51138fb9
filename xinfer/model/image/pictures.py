"""Pictures that a request brings: checked by their headers, then decoded; and what is sent back."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.image import read_image_header
from xinfer.model.pictures import check_picture
from xinfer.types.request import Media

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP")


def check(medium: Media) -> None:
    """Refuse a picture that would take too much to decode, by what its header says.

    Raises:
        InvalidRequest, PayloadTooLarge: as `check_picture`, and of one that moves; names the field.
    """
    check_picture(medium, FORMATS)
    with _opened(medium) as image:
        if getattr(image, "is_animated", False):
            raise InvalidRequest(
                f"The picture in {medium.where} moves: it has several frames. Send a still one.",
                param=medium.where,
            )


def decode(medium: Media) -> Image:
    """A picture that `check` has let pass, upright, in RGB; what is transparent is white.

    Raises:
        InvalidRequest: it is damaged.
    """
    from PIL import Image

    image = _upright(medium)
    if not _has_alpha(image):
        return image.convert("RGB")
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def decode_mask(medium: Media) -> Image:
    """Where to draw, in shades of gray: white is drawn anew. Of a picture with transparent parts
    these are, as OpenAI has it; else what is white.

    Raises:
        InvalidRequest: it is damaged.
    """
    from PIL import ImageChops

    image = _upright(medium)
    if _has_alpha(image):
        alpha = image.convert("RGBA").getchannel("A")
        if alpha.getextrema()[0] < 255:
            return ImageChops.invert(alpha)
    return image.convert("L")


def within_mask(made: Image, given: Image, mask: Image) -> Image:
    """What was made, where the mask is white, on what was given: pipelines that draw in a part of a
    picture return the rest nearly, not exactly, as it was.

    Args:
        mask: in shades of gray, in which both are mixed.
    """
    from PIL import Image

    size = made.size
    return Image.composite(made, given.convert(made.mode).resize(size), mask.resize(size))


def encode(image: Image) -> bytes:
    """As a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _has_alpha(image: Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info


def _upright(medium: Media) -> Image:
    from PIL import ImageOps

    image = _opened(medium)
    try:
        if image.mode in ("I;16", "I"):
            # Of 16 bits a pixel; Pillow's own conversion makes all but the darkest of it white.
            image = image.convert("I").point(lambda shade: shade * (1 / 257)).convert("L")
        return ImageOps.exif_transpose(image)
    except Exception as error:  # Pillow's decoders raise what they like
        raise _damaged(medium, error) from None


def _opened(medium: Media) -> Image:
    from PIL import Image

    header = read_image_header(medium.data, FORMATS)
    try:
        image = Image.open(io.BytesIO(medium.data), formats=(header.format,))
        # The decoder may have read more than the header: a GIF's frame can exceed its screen.
        if image.size != (header.width, header.height):
            raise ValueError(f"it has {image.width} by {image.height} pixels")
    except Exception as error:
        raise _damaged(medium, error) from None
    return image


def _damaged(medium: Media, error: Exception) -> InvalidRequest:
    return InvalidRequest(
        f"The picture in {medium.where} is damaged: {error or type(error).__name__}.",
        param=medium.where,
    )
