"""Pictures as OpenAI's lists of them, and in its events."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response

from xinfer.api.image_store import ImageStore
from xinfer.api.spool import Spool, SpooledAnswer, Stretch
from xinfer.model.inspect.image import read_image_header
from xinfer.types.event import Usage
from xinfer.types.product import Picture, Preview, Product

FILES = "/v1/images/files/"
"""Where a picture that is kept can be had, by its name."""


class Entry(NamedTuple):
    """A picture of an answer."""

    seed: int
    prompt_cut: int
    name: str = ""
    """In the store; empty for one that is in the answer."""
    file: Stretch = Stretch(0, 0)
    """Where in the spool."""


class Gallery:
    """The pictures of one request, each out of memory as soon as it is whole: in the store, from
    where they can be had by URL, or on their way into the answer.

    Args:
        store: keeps the pictures, and the answer tells where they are; None: they are in it.
    """

    def __init__(self, store: ImageStore | None) -> None:
        self._store = store
        self._spool = Spool()
        self._names: list[str] = []
        self._closed = False
        self._writing = threading.Lock()

    def keeper(self) -> PictureKeeper:
        return PictureKeeper(self)

    def put(self, picture: Picture) -> Entry:
        """Blocks. What comes after `close` goes nowhere, as in a `Spool`.

        Raises:
            Unavailable: it cannot be written.
        """
        if self._store is None:
            file = self._spool.add(picture.data)._replace(base64=True)
            return Entry(picture.seed, picture.prompt_cut, file=file)
        with self._writing:
            if self._closed:
                return Entry(picture.seed, picture.prompt_cut)
            name = self._store.put(picture.data)
            self._names.append(name)
        return Entry(picture.seed, picture.prompt_cut, name)

    def answer(
        self, entries: Sequence[Entry], created: int, base: str, headers: dict[str, str]
    ) -> Response:
        """OpenAI's list.

        Args:
            base: how the server is reached, without a `/` at its end.
        """
        parts: list[bytes | Stretch] = [b'{"created":%d,"data":[' % created]
        for number, entry in enumerate(entries):
            url = f"{base}{FILES}{entry.name}" if entry.name else None
            parts.append(b"%b{" % (b"," if number else b""))
            if url is None:
                parts += [b'"url":null,"b64_json":"', entry.file, b'",']
            else:
                parts.append(b'"url":%b,"b64_json":null,' % msgspec.json.encode(url))
            parts.append(b'"seed":%d}' % entry.seed)
        parts.append(b"]}")
        return SpooledAnswer(self._spool, parts, media_type="application/json", headers=headers)

    def discard(self, kept: Sequence[Entry] = ()) -> None:
        """Remove from the store what is not in the answer. Blocks."""
        names = {entry.name for entry in kept}
        if self._store is not None:
            for name in self._names:
                if name not in names:
                    self._store.remove(name)

    def close(self) -> None:
        """There is no answer. Blocks, until a thread that is writing has ended."""
        with self._writing:
            self._closed = True
        self.discard()
        self._spool.close()


class PictureKeeper:
    """The pictures of one prompt."""

    def __init__(self, gallery: Gallery) -> None:
        self.entries: list[Entry] = []
        """In the order that they were drawn."""
        self._gallery = gallery

    async def keep(self, product: Product) -> None:
        if isinstance(product, Picture):
            self.entries.append(await asyncio.to_thread(self._gallery.put, product))


class PictureEvents:
    """OpenAI's events of pictures that come as they are drawn.

    Args:
        kind: image_generation or image_edit.
    """

    def __init__(self, kind: str, created: int) -> None:
        self._kind = kind
        self._created = created

    def preview(self, preview: Preview) -> bytes:
        """How a picture looks by now; `index` tells which one where there are several."""
        more = {"partial_image_index": preview.number, "index": preview.index}
        return self._event("partial_image", preview.data, more)

    def completed(self, picture: Picture, usage: Usage) -> bytes:
        """A picture, with what it can be drawn again with."""
        more: dict[str, Any] = {"index": picture.index, "seed": picture.seed}
        if picture.prompt_cut:
            more["truncated_tokens"] = picture.prompt_cut
        tokens = {
            "input_tokens": usage.prompt_tokens,
            "input_tokens_details": {"text_tokens": usage.prompt_tokens, "image_tokens": 0},
            "output_tokens": usage.completion_tokens,
            "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        }
        return self._event("completed", picture.data, {**more, "usage": tokens})

    def _event(self, name: str, data: bytes, more: dict[str, Any]) -> bytes:
        header = read_image_header(data, ("PNG",))
        event = {
            "type": f"{self._kind}.{name}",
            "b64_json": base64.b64encode(data).decode(),
            "created_at": self._created,
            "size": f"{header.width}x{header.height}",
            "quality": "auto",
            "background": "opaque",
            "output_format": "png",
            **more,
        }
        return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), msgspec.json.encode(event))
