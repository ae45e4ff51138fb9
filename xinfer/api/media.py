"""Pictures and recordings in a conversation: from URLs to the bytes that a replica gets."""

from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from fastapi import Request

from xinfer.api.fetch import Fetcher, Reference, is_remote
from xinfer.api.lifetime import within
from xinfer.api.services import services
from xinfer.core.gateway import RoutingTable
from xinfer.errors import InvalidRequest
from xinfer.types.model import Loaded
from xinfer.types.request import ChatRequest, Media

PICTURE, RECORDING = "picture", "recording"

_ABILITIES = {PICTURE: "vision", RECORDING: "audio"}
_STANDS_FOR = {
    "image_url": "image_url",
    "input_audio": "input_audio",
    "audio_url": "input_audio",
}
_MOST_NAMED = 8

DECODE_ON_THREAD = 256 << 10
"""Characters of URLs from which they are decoded on a thread."""


async def with_media(request: Request, uid: str, chat: ChatRequest) -> ChatRequest:
    """The request with its pictures and recordings in `media`, for a model that is there; with
    none, the same request. It ends early when the client leaves.

    Raises:
        InvalidRequest: a URL is neither a data URL in base64 nor one that can be fetched, or the
            model takes no such media; names the part.
        Unavailable: something is to be fetched, and the model is not ready.
        PayloadTooLarge: more is named by URL than is fetched for a request.
    """
    parts = list(_media_parts(chat.messages))
    if not parts:
        return chat
    here = services(request)
    for reference, kind in parts:
        if kind == RECORDING or is_remote(reference.url):
            _require_ability(here.table, uid, reference, kind)
    work = take_media(chat, parts, here.fetcher)
    return await within(request.receive, here.drain, work)


async def take_media(
    chat: ChatRequest, parts: Sequence[tuple[Reference, str]], fetcher: Fetcher
) -> ChatRequest:
    """The same, for its parts with media. Their URLs are taken out of its messages."""
    read = await read_references([reference for reference, _ in parts], fetcher)
    media = tuple(
        Media(data, reference.where, kind)
        for data, (reference, kind) in zip(read, parts, strict=True)
    )
    _number(chat.messages)
    return msgspec.structs.replace(chat, media=media)


async def read_references(references: list[Reference], fetcher: Fetcher) -> list[bytes]:
    """What is behind each of them. Nothing is fetched unless all data URLs are good.

    Raises:
        InvalidRequest, PayloadTooLarge: as `with_media`.
    """
    here = [reference for reference in references if not is_remote(reference.url)]
    if sum(len(reference.url) for reference in here) > DECODE_ON_THREAD:
        decoded = await asyncio.to_thread(_decode_all, here)
    else:
        decoded = _decode_all(here)
    remote = [reference for reference in references if is_remote(reference.url)]
    fetched = await fetcher.fetch(remote) if remote else []
    sources = {False: iter(decoded), True: iter(fetched)}
    return [next(sources[is_remote(reference.url)]) for reference in references]


def _require_ability(table: RoutingTable, uid: str, reference: Reference, kind: str) -> None:
    """Nothing is fetched for a model that is not ready, or cannot take it."""
    loaded = table.require_ready(uid).loaded
    if loaded is None or _takes(loaded, kind):
        return
    others = [
        one.deployment.uid
        for one in table.deployments()
        if one.loaded is not None and _takes(one.loaded, kind)
    ]
    raise InvalidRequest(
        f"{reference.where} is a {kind}, and model {uid!r} takes none. Those here that do: "
        f"{', '.join(others[:_MOST_NAMED]) or 'none'}. A model that does has "
        f"{_ABILITIES[kind]!r} among its `model_ability`.",
        param=reference.where,
    )


def _takes(loaded: Loaded, kind: str) -> bool:
    return loaded.abilities.audio if kind == RECORDING else loaded.abilities.media


def _media_parts(messages: list[dict[str, Any]]) -> Iterator[tuple[Reference, str]]:
    """Where each picture and recording is and its URL, and which of both it is."""
    for index, message in enumerate(messages):
        content = message.get("content")
        if not isinstance(content, list):
            continue
        for number, part in enumerate(content):
            where = f"messages[{index}].content[{number}]"
            kind = part["type"]
            if kind == "image_url":
                yield Reference(part["image_url"]["url"], where), PICTURE
            elif kind == "audio_url":
                yield Reference(part["audio_url"]["url"], where), RECORDING
            elif kind == "input_audio":
                sent = part["input_audio"]
                url = f"data:audio/{sent['format']};base64,{sent['data']}"
                yield Reference(url, where), RECORDING


def _number(messages: list[dict[str, Any]]) -> None:
    """Put a number in place of each URL; in the very messages, which a body may share, so that what
    is large in them goes."""
    numbers = itertools.count()
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            for place, part in enumerate(content):
                stands = _STANDS_FOR.get(part["type"])
                if stands is not None:
                    content[place] = {"type": stands, "media": next(numbers)}


def _decode_all(references: list[Reference]) -> list[bytes]:
    return [_decode(reference.url, reference.where) for reference in references]


def _decode(url: str, where: str) -> bytes:
    scheme, _, rest = url.partition(":")
    kind, comma, data = rest.partition(",")
    if scheme.lower() != "data" or not comma or not kind.lower().endswith(";base64"):
        raise InvalidRequest(
            f"The URL in {where} is not one that is taken here; expected one with "
            "https or http, or a data URL in base64: data:image/png;base64,...",
            param=where,
        )
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"What is in {where} is not valid base64.", param=where) from None
