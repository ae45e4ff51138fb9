"""Pictures in a conversation: from URLs to the bytes that a replica gets."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterator
from typing import Any

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.types.request import ChatRequest, Media

DECODE_ON_THREAD = 256 << 10
"""Characters of URLs from which they are decoded on a thread."""


async def take_media(chat: ChatRequest) -> ChatRequest:
    """The request with its pictures in `media`; with none, the same request.

    Raises:
        InvalidRequest: a URL is no data URL in base64; names the part.
    """
    urls = list(_urls(chat.messages))
    if not urls:
        return chat
    if sum(len(url) for _, url in urls) > DECODE_ON_THREAD:
        media = await asyncio.to_thread(_decode_all, urls)
    else:
        media = _decode_all(urls)
    messages = _with_numbers(chat.messages)
    return msgspec.structs.replace(chat, messages=messages, media=media)


def _is_picture(part: Any) -> bool:
    return bool(part["type"] == "image_url")


def _urls(messages: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Where each picture is, and its URL."""
    for index, message in enumerate(messages):
        content = message.get("content")
        if isinstance(content, list):
            for number, part in enumerate(content):
                if _is_picture(part):
                    yield f"messages[{index}].content[{number}]", part["image_url"]["url"]


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


def _decode_all(urls: list[tuple[str, str]]) -> tuple[Media, ...]:
    return tuple(Media(_decode(url, where), where) for where, url in urls)


def _decode(url: str, where: str) -> bytes:
    scheme, _, rest = url.partition(":")
    if scheme.lower() in ("http", "https"):
        raise InvalidRequest(
            f"The picture in {where} is to be fetched from elsewhere, which this server does not "
            "do yet. Send it in a data URL: data:image/png;base64,...",
            code="unsupported_parameter",
            param=where,
        )
    kind, comma, data = rest.partition(",")
    if scheme.lower() != "data" or not comma or not kind.lower().endswith(";base64"):
        raise InvalidRequest(
            f"The URL of the picture in {where} is not one that is taken here; expected a data URL "
            "in base64: data:image/png;base64,...",
            param=where,
        )
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            f"The data URL of the picture in {where} is not valid base64.", param=where
        ) from None
