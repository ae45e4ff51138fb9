"""The bounds of a picture that a request brings, held against its header before it is decoded."""

from __future__ import annotations

from collections.abc import Sequence

from xinfer.errors import InvalidRequest, PayloadTooLarge
from xinfer.model.inspect.image import FORMATS, BadImage, check_expansion, read_image_header
from xinfer.types.request import Media

MAX_MEDIA = 32
"""Pictures in one request."""
MAX_BYTES = 20 << 20
"""Of one picture, as it was sent."""
MAX_PIXELS = 25_000_000
"""Of one picture; decoded, it takes three bytes for each and more while it is decoded."""
MAX_ASPECT = 100
"""How often the shorter side may go into the longer one."""


def check_picture(medium: Media, formats: Sequence[str] = FORMATS) -> None:
    """Refuse what would take too much to decode, by what its header says.

    Raises:
        InvalidRequest: a format that is not read here, or a damaged header; names the part.
        PayloadTooLarge: too many bytes or pixels.
    """
    where = medium.where
    if not medium.data:
        raise InvalidRequest(f"The picture in {where} is empty: it has no bytes.", param=where)
    if len(medium.data) > MAX_BYTES:
        raise PayloadTooLarge(
            f"The picture in {where} has {len(medium.data)} bytes; at most {MAX_BYTES} are "
            "accepted. Send it smaller.",
            param=where,
        )
    try:
        header = read_image_header(medium.data, formats)
        short, long = sorted((header.width, header.height))
        if header.width * header.height > MAX_PIXELS:
            raise PayloadTooLarge(
                f"The picture in {where} has {header.width} by {header.height} pixels; at most "
                f"{MAX_PIXELS} in all are accepted. Send it smaller.",
                param=where,
            )
        if long > MAX_ASPECT * short:
            raise BadImage(
                f"has {header.width} by {header.height} pixels; expected a longer side of at most "
                f"{MAX_ASPECT} times the shorter one"
            )
        check_expansion(medium.data, header)
    except BadImage as error:
        raise InvalidRequest(f"The picture in {where} {error}.", param=where) from None
