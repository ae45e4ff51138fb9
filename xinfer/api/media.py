"""Pictures in a conversation: from URLs to the bytes that a replica gets."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import Request

from xinfer.api.fetch import Fetcher, Reference, is_remote
from xinfer.api.lifetime import within
from xinfer.api.services import services
from xinfer.errors import InvalidRequest
from xinfer.types.deployment import DeploymentStatus
from xinfer.types.request import ChatRequest, Media

DECODE_ON_THREAD = 256 << 10
"""Characters of URLs from which they are decoded on a thread."""


async def with_media(request: Request, uid: str, chat: ChatRequest) -> ChatRequest:
    """The request with its pictures in `media`, for a model that is there; with none, the same
    request. It ends early when the client leaves.

    Raises:
        InvalidRequest: a URL is neither a data URL in base64 nor one that can be fetched, or the
            model takes no pictures; names the part.
        PayloadTooLarge: more is named by URL than is fetched for a request.
    """
    references = list(_references(chat.messages))
    if not references:
        return chat
    here = services(request)
    remote = [reference for reference in references if is_remote(reference.url)]
    if remote:
        _require_sight(here.table.status(uid), remote[0])
    work = take_media(chat, references, here.fetcher)
    return await within(request.receive, here.drain, work)


async def take_media(
    chat: ChatRequest, references: list[Reference], fetcher: Fetcher
) -> ChatRequest:
    """The same, for its references."""
    read = await read_references(references, fetcher)
    media = tuple(
        Media(data, reference.where) for data, reference in zip(read, references, strict=True)
    )
    return msgspec.structs.replace(chat, messages=_with_numbers(chat.messages), media=media)


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


def _require_sight(status: DeploymentStatus, reference: Reference) -> None:
    """Nothing is fetched for a model that cannot look at it."""
    if status.loaded is not None and not status.loaded.abilities.media:
        raise InvalidRequest(
            f"{reference.where} is a picture, and model {status.deployment.uid!r} takes none. "
            "Models with `vision` among their `model_ability` do.",
            param=reference.where,
        )


def _is_picture(part: Any) -> bool:
    return bool(part["type"] == "image_url")


def _references(messages: list[dict[str, Any]]) -> Iterator[Reference]:
    """Where each picture is, and its URL."""
    for index, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, list):
            for number, part in enumerate(content):
                if _is_picture(part):
                    where = f"messages[{index}].content[{number}]"
                    yield Reference(part["image_url"]["url"], where)


def _with_numbers(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with a number in place of each URL."""
    count = 0
    numbered = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            parts = []
            for part in content:
                if _is_picture(part):
                    part = {"type": "image_url", "media": count}
                    count += 1
                parts.append(part)
            message = {**message, "content": parts}
        numbered.append(message)
    return numbered


def _decode_all(references: list[Reference]) -> list[bytes]:
    return [_decode(reference.url, reference.where) for reference in references]


def _decode(url: str, where: str) -> bytes:
    scheme, _, rest = url.partition(":")
    kind, comma, data = rest.partition(",")
    if scheme.lower() != "data" or not comma or not kind.lower().endswith(";base64"):
        raise InvalidRequest(
            f"The URL of the picture in {where} is not one that is taken here; expected one with "
            "https or http, or a data URL in base64: data:image/png;base64,...",
            param=where,
        )
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            f"The data URL of the picture in {where} is not valid base64.", param=where
        ) from None
