"""Pictures in chat requests: from data URLs to the bytes that the replica gets."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tests.support.pictures import data_url, noise, png
from tests.unit.api.fakes import Api
from xinfer.api import media
from xinfer.types.request import ChatRequest, Media

pytestmark = pytest.mark.anyio

PICTURE = png(noise(1, 4, 3))


def picture(url: Any, **fields: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


async def test_a_replica_gets_bytes_and_their_places() -> None:
    api = Api()
    other = png(noise(2))
    messages = [
        {"role": "system", "content": "Look."},
        {"role": "user", "content": [text("a"), picture(data_url(PICTURE), detail="low")]},
        {"role": "assistant", "content": "I see."},
        {
            "role": "user",
            "content": [picture(data_url(other, "image/x-any;q=1")), picture(data_url(PICTURE))],
        },
    ]
    response = await api.chat(messages=messages)
    assert response.status_code == 200, response.text
    (request,) = api.gateway.requests
    assert isinstance(request, ChatRequest)
    assert request.media == (
        Media(PICTURE, "messages[1].content[1]"),
        Media(other, "messages[3].content[0]"),
        Media(PICTURE, "messages[3].content[1]"),
    )
    assert [message["content"] for message in request.messages] == [
        "Look.",
        [text("a"), {"type": "image_url", "media": 0}],
        "I see.",
        [{"type": "image_url", "media": 1}, {"type": "image_url", "media": 2}],
    ]


async def test_a_conversation_without_pictures_is_left_as_it_is() -> None:
    chat = ChatRequest(messages=[{"role": "user", "content": [text("a")]}])
    assert await media.take_media(chat) is chat


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/a.png", "does not do yet"),
        ("HTTPS://example.com/a.png", "does not do yet"),
        ("file:///etc/passwd", "expected a data URL"),
        ("/etc/passwd", "expected a data URL"),
        ("", "expected a data URL"),
        ("data:image/png,abc", "expected a data URL"),
        ("data:image/png;base64", "expected a data URL"),
        ("data:image/png;base64,a*b=", "not valid base64"),
        ("data:image/png;base64,YQ=", "not valid base64"),
        ("data:image/png;base64,Yé==", "not valid base64"),
    ],
)
async def test_other_urls_are_refused_by_name(url: str, reason: str) -> None:
    api = Api()
    response = await api.chat(messages=[{"role": "user", "content": [text("a"), picture(url)]}])
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error["param"] == "messages[0].content[1]"
    assert reason in error["message"]
    assert api.gateway.requests == []


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url"}, "image_url"),
        ({"type": "image_url", "image_url": data_url(PICTURE)}, "image_url"),
        ({"type": "image_url", "image_url": {}}, "image_url.url"),
        (picture(5), "image_url.url"),
        (picture(data_url(PICTURE), detail=1), "image_url.detail"),
    ],
)
async def test_a_picture_in_another_form_is_refused_by_name(
    part: dict[str, Any], param: str
) -> None:
    response = await Api().chat(messages=[{"role": "user", "content": [part]}])
    assert response.status_code == 400
    assert response.json()["error"]["param"] == f"messages.0.content.0.{param}"


async def test_many_bytes_are_decoded_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []
    decode = media._decode

    def record(url: str, where: str) -> bytes:
        threads.append(threading.current_thread())
        return decode(url, where)

    monkeypatch.setattr(media, "_decode", record)
    for data in (PICTURE, PICTURE + bytes(1 << 20)):
        part = picture(data_url(data))
        chat = ChatRequest(messages=[{"role": "user", "content": [part]}])
        assert (await media.take_media(chat)).media[0].data == data
    assert [thread is threading.main_thread() for thread in threads] == [True, False]
    assert asyncio.get_running_loop().is_running()
