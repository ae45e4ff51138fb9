"""Pictures from bytes to pixels, within what their headers were checked for."""

from __future__ import annotations

from io import BytesIO

from PIL import Image, ImageOps

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.image import read_image_header
from xinfer.types.request import Media


def decode(medium: Media) -> Image.Image:
    """The picture in RGB, the right way up. Its header has been checked.

    Raises:
        InvalidRequest: it is damaged, or larger than its header says.
    """
    header = read_image_header(medium.data)
    try:
        picture = Image.open(BytesIO(medium.data), formats=(header.format,))
        # The decoder may have read more than the header: a GIF's frame can exceed its screen.
        if picture.size != (header.width, header.height):
            raise ValueError(f"it has {picture.width} by {picture.height} pixels")
        return ImageOps.exif_transpose(picture).convert("RGB")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise InvalidRequest(
            f"The picture in {medium.where} is damaged: it cannot be decoded ({error}).",
            param=medium.where,
        ) from error
