"""Pictures in chat requests: from data URLs to the bytes that the replica gets."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from typing import Any

import pytest

from tests.support.pictures import data_url, noise, png
from tests.support.site import response, running_site
from tests.unit.api.fakes import Api, Exchange, deployment
from xinfer.api import media
from xinfer.api.fetch import Fetcher, Reference
from xinfer.settings import Settings
from xinfer.types.deployment import DeploymentState
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


def seeing(**settings: Any) -> Api:
    return Api(deployment(media=True), fetch_private_networks=True, **settings)


async def test_pictures_by_url_and_in_data_urls_come_in_their_order() -> None:
    async with running_site(response(b"fetched")) as site:
        url = f"HTTP://localhost:{site.port}/a.png"
        api = seeing()
        parts = [picture(data_url(PICTURE)), picture(url), text("a"), picture(data_url(PICTURE))]
        answer = await api.chat(messages=[{"role": "user", "content": parts}])
        assert answer.status_code == 200, answer.text
    (request,) = api.gateway.requests
    assert isinstance(request, ChatRequest)
    assert [one.data for one in request.media] == [PICTURE, b"fetched", PICTURE]
    assert [one.where for one in request.media] == [f"messages[0].content[{n}]" for n in (0, 1, 3)]


ROUTES = {
    "/v1/messages": {
        "max_tokens": 1,
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image", "source": {"type": "url", "url": "URL"}}],
            }
        ],
    },
    "/v1/messages/count_tokens": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image", "source": {"type": "url", "url": "URL"}}],
            }
        ],
    },
    "/v1/responses": {
        "input": [{"role": "user", "content": [{"type": "input_image", "image_url": "URL"}]}]
    },
    "/tokenize": {"messages": [{"role": "user", "content": [picture("URL")]}]},
}


@pytest.mark.parametrize("route", ROUTES)
async def test_every_route_with_a_conversation_fetches(route: str) -> None:
    async with running_site(response(b"fetched")) as site:
        body = json.dumps(ROUTES[route]).replace("URL", f"http://127.0.0.1:{site.port}/")
        api = seeing()
        answer = await api.http.post(route, json={"model": "echo", **json.loads(body)})
        assert answer.status_code == 200, answer.text
    (request,) = api.gateway.requests
    assert isinstance(request, ChatRequest)
    assert [one.data for one in request.media] == [b"fetched"]


def recording(data: bytes, format: Any = "wav") -> dict[str, Any]:
    sent = {"data": base64.b64encode(data).decode(), "format": format}
    return {"type": "input_audio", "input_audio": sent}


async def test_recordings_come_beside_pictures_and_are_told_apart() -> None:
    async with running_site(response(b"fetched")) as site:
        api = Api(deployment(media=True, audio=True), fetch_private_networks=True)
        url = {"type": "audio_url", "audio_url": {"url": f"http://127.0.0.1:{site.port}/"}}
        parts = [recording(b"a"), picture(data_url(PICTURE)), url, recording(b"b", "mp3")]
        answer = await api.chat(messages=[{"role": "user", "content": parts}])
        assert answer.status_code == 200, answer.text
    (request,) = api.gateway.requests
    assert isinstance(request, ChatRequest)
    assert [(one.data, one.kind) for one in request.media] == [
        (b"a", "recording"),
        (PICTURE, "picture"),
        (b"fetched", "recording"),
        (b"b", "recording"),
    ]
    assert request.messages[0]["content"] == [
        {"type": "input_audio", "media": 0},
        {"type": "image_url", "media": 1},
        {"type": "input_audio", "media": 2},
        {"type": "input_audio", "media": 3},
    ]


async def test_a_recording_for_a_model_that_does_not_hear_names_those_that_do() -> None:
    api = Api(deployment(media=True), deployment("hears", audio=True), deployment("deaf"))
    answer = await api.chat(messages=[{"role": "user", "content": [text("a"), recording(b"a")]}])
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == "messages[0].content[1]"
    assert "Those here that do: hears." in error["message"]
    assert api.gateway.requests == []


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "input_audio"}, "input_audio"),
        ({"type": "input_audio", "input_audio": {"data": "YQ=="}}, "input_audio.format"),
        ({"type": "input_audio", "input_audio": {"format": "wav"}}, "input_audio.data"),
        (recording(b"a", "flac"), "input_audio.format"),
        ({"type": "audio_url", "audio_url": {}}, "audio_url.url"),
    ],
)
async def test_a_recording_in_another_form_is_refused_by_name(
    part: dict[str, Any], param: str
) -> None:
    api = Api(deployment(audio=True))
    response = await api.chat(messages=[{"role": "user", "content": [part]}])
    assert response.status_code == 400
    assert response.json()["error"]["param"] == f"messages.0.content.0.{param}"


async def test_nothing_is_fetched_for_a_model_that_takes_no_pictures() -> None:
    async with running_site(response(b"fetched")) as site:
        api = Api(fetch_private_networks=True)
        part = picture(f"http://127.0.0.1:{site.port}/")
        answer = await api.chat(messages=[{"role": "user", "content": [part]}])
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "messages[0].content[0]"
        assert "takes none" in answer.json()["error"]["message"]
        assert site.connections == 0


async def test_nothing_is_fetched_for_a_model_that_is_not_ready() -> None:
    async with running_site(response(b"fetched")) as site:
        loading = deployment(media=True, state=DeploymentState.LOADING)
        api = Api(loading, fetch_private_networks=True)
        part = picture(f"http://127.0.0.1:{site.port}/")
        answer = await api.chat(messages=[{"role": "user", "content": [part]}])
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == "model_loading"
        assert site.connections == 0


async def test_nothing_is_fetched_beside_a_data_url_that_is_not_good() -> None:
    async with running_site(response(b"fetched")) as site:
        parts = [picture(f"http://127.0.0.1:{site.port}/"), picture("data:image/png;base64,a*b=")]
        answer = await seeing().chat(messages=[{"role": "user", "content": parts}])
        assert "not valid base64" in answer.json()["error"]["message"]
        assert site.connections == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_who_leaves_ends_the_fetch(stream: bool) -> None:
    async def stall(head: bytes, writer: asyncio.StreamWriter) -> None:
        started.set()
        await asyncio.Event().wait()

    started = asyncio.Event()
    async with running_site(stall) as site:
        api = seeing(fetch_timeout=600.0)
        part = picture(f"http://127.0.0.1:{site.port}/")
        body = {"model": "echo", "messages": [{"role": "user", "content": [part]}]}
        exchange = Exchange(api.app, "/v1/chat/completions", {**body, "stream": stream})
        async with exchange.running() as task:
            await started.wait()
            exchange.hang_up()
            await asyncio.wait_for(site.hung_up.wait(), 30)
            await asyncio.wait_for(task, 30)
    assert exchange.status == 499
    assert api.gateway.requests == []


async def test_a_conversation_without_pictures_is_left_as_it_is() -> None:
    api = Api()
    assert (await api.chat(messages=[{"role": "user", "content": [text("a")]}])).is_success
    (request,) = api.gateway.requests
    assert isinstance(request, ChatRequest)
    assert request.media == ()
    assert request.messages == [{"role": "user", "content": [text("a")]}]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///etc/passwd", "or a data URL in base64"),
        ("/etc/passwd", "or a data URL in base64"),
        ("", "or a data URL in base64"),
        ("data:image/png,abc", "or a data URL in base64"),
        ("data:image/png;base64", "or a data URL in base64"),
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
    api = Api()
    for data in (PICTURE, PICTURE + bytes(1 << 20)):
        await api.chat(messages=[{"role": "user", "content": [picture(data_url(data))]}])
    requests = [one for one in api.gateway.requests if isinstance(one, ChatRequest)]
    assert [len(one.media[0].data) for one in requests] == [len(PICTURE), len(PICTURE) + (1 << 20)]
    assert [thread is threading.main_thread() for thread in threads] == [True, False]


async def test_what_was_read_is_not_kept_as_text_beside_it() -> None:
    """The messages are those of the body, which is there until the request is answered."""
    url = data_url(b"picture")
    messages = [{"role": "user", "content": [picture(url), text("What is it?")]}]
    parts = [(Reference(url, "messages[0].content[0]"), media.PICTURE)]
    chat = await media.take_media(ChatRequest(messages=messages), parts, Fetcher(Settings()))
    assert [one.data for one in chat.media] == [b"picture"]
    assert messages[0]["content"] == [{"type": "image_url", "media": 0}, text("What is it?")]
    assert chat.messages == messages
