"""Pictures as OpenAI's lists of them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Sequence
from typing import Any

import msgspec

from xinfer.api.image_store import ImageStore
from xinfer.types.product import Picture

FILES = "/v1/images/files/"
"""Where a picture that is kept can be had, by its name."""


async def image_list(
    pictures: Sequence[Picture], created: int, *, store: ImageStore | None, base: str
) -> bytes:
    """The answer's JSON.

    Args:
        store: keeps the pictures, and the answer tells where they are; None: they are in it.
        base: how the server is reached, without a `/` at its end.
    """

    def render() -> bytes:
        data = [_entry(picture, store, base) for picture in pictures]
        return msgspec.json.encode({"created": created, "data": data})

    return await asyncio.to_thread(render)


def _entry(picture: Picture, store: ImageStore | None, base: str) -> dict[str, Any]:
    if store is None:
        url, data = None, base64.b64encode(picture.data).decode()
    else:
        url, data = f"{base}{FILES}{store.put(picture.data)}", None
    return {"url": url, "b64_json": data, "seed": picture.seed}
