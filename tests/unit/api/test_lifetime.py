"""Requests that end early: the client leaves, or the server does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from tests.unit.api.fakes import Api, Exchange, answer, snapshot
from xinfer.api.lifetime import Drain, within
from xinfer.types.event import Delta

pytestmark = pytest.mark.anyio

CHAT: dict[str, Any] = {"model": "echo", "messages": [{"role": "user", "content": "Hi"}]}


def _stalled() -> list[Any]:
    return [[Delta(1, "Hel", [])], asyncio.Event()]


@pytest.mark.parametrize("stream", [False, True])
async def test_leaving_while_waiting_for_admission_frees_the_place(stream: bool) -> None:
    api = Api()
    api.gateway.admission = asyncio.Event()
    exchange = Exchange(api.app, "/v1/chat/completions", {**CHAT, "stream": stream})
    async with exchange.running() as running:
        await api.gateway.waiting.wait()
        assert exchange.status is None
        exchange.hang_up()
        await asyncio.wait_for(running, 10)
    assert api.gateway.given_up == 1
    assert api.drain.active == 0


async def test_leaving_a_stream_cancels_it_at_once() -> None:
    api = Api()
    api.gateway.scripts = [_stalled()]
    exchange = Exchange(api.app, "/v1/chat/completions", {**CHAT, "stream": True})
    async with exchange.running() as running:
        await exchange.receives(b"Hel")
        exchange.hang_up()
        await asyncio.wait_for(running, 10)
    assert api.gateway.streams[0].left
    assert api.drain.active == 0


async def test_leaving_a_whole_answer_cancels_it_at_once() -> None:
    api = Api()
    api.gateway.scripts = [_stalled()]
    exchange = Exchange(api.app, "/v1/chat/completions", CHAT)
    async with exchange.running() as running:
        await api.gateway.opened.wait()
        exchange.hang_up()
        await asyncio.wait_for(running, 10)
    assert api.gateway.streams[0].left


async def test_no_status_before_admission() -> None:
    api = Api()
    api.gateway.admission = asyncio.Event()
    exchange = Exchange(api.app, "/v1/chat/completions", {**CHAT, "stream": True})
    async with exchange.running() as running:
        await api.gateway.waiting.wait()
        assert exchange.sent == []
        api.gateway.admission.set()
        await asyncio.wait_for(running, 10)
    assert exchange.status == 200
    assert exchange.body.endswith(b"data: [DONE]\n\n")


async def test_silence_is_filled_with_comments() -> None:
    api = Api(sse_ping_interval=0.01)
    go_on = asyncio.Event()
    api.gateway.scripts = [[[Delta(1, "Hel", [])], go_on, *answer("lo")]]
    exchange = Exchange(api.app, "/v1/chat/completions", {**CHAT, "stream": True})
    async with exchange.running() as running:
        await exchange.receives(b": ping\n\n: ping\n\n")
        go_on.set()
        await asyncio.wait_for(running, 10)
    assert exchange.body.endswith(b"data: [DONE]\n\n")


class _SlowAtTheEnd(Exchange):
    async def _send(self, message: Any) -> None:
        await super()._send(message)
        if message.get("more_body") is False:
            await asyncio.wait((asyncio.get_running_loop().create_future(),), timeout=0.05)


async def test_no_comment_follows_the_end_that_a_slow_reader_holds_up() -> None:
    api = Api(sse_ping_interval=0.001)
    exchange = _SlowAtTheEnd(api.app, "/v1/chat/completions", {**CHAT, "stream": True})
    async with exchange.running() as running:
        await asyncio.wait_for(running, 10)
    assert exchange.sent[-1]["more_body"] is False


async def test_no_comment_before_the_status() -> None:
    api = Api(sse_ping_interval=0.001)
    api.gateway.admission = asyncio.Event()
    exchange = Exchange(api.app, "/v1/chat/completions", {**CHAT, "stream": True})
    async with exchange.running() as running:
        await api.gateway.waiting.wait()
        await asyncio.wait((running,), timeout=0.05)
        assert exchange.sent == []


async def test_draining_refuses_new_work_and_lets_old_work_finish() -> None:
    api = Api()
    go_on = asyncio.Event()
    api.gateway.scripts = [[[Delta(1, "Hel", [])], go_on, *answer("lo")]]
    exchange = Exchange(api.app, "/v1/chat/completions", {**CHAT, "stream": True})
    async with exchange.running() as running:
        await exchange.receives(b"Hel")
        drained = asyncio.create_task(api.drain.run(10, 1))
        await asyncio.sleep(0)
        refused = await api.chat()
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "draining"
        assert refused.headers["retry-after"] == "5"
        assert (await api.http.get("/readyz")).status_code == 503
        assert (await api.http.get("/livez")).status_code == 200
        go_on.set()
        await asyncio.wait_for(running, 10)
        await asyncio.wait_for(drained, 10)
    assert exchange.body.endswith(b"data: [DONE]\n\n")
    assert not api.drain.expired.done()


async def test_a_stream_that_outlives_the_drain_ends_with_an_error_frame() -> None:
    api = Api()
    api.gateway.scripts = [_stalled()]
    exchange = Exchange(api.app, "/v1/chat/completions", {**CHAT, "stream": True})
    async with exchange.running() as running:
        await exchange.receives(b"Hel")
        await asyncio.wait_for(api.drain.run(0, 10), 10)
        await asyncio.wait_for(running, 10)
    assert b'"code":"draining"' in exchange.body
    assert b"[DONE]" not in exchange.body
    assert exchange.sent[-1]["more_body"] is False
    assert api.gateway.streams[0].left


async def test_a_whole_answer_that_outlives_the_drain_is_503() -> None:
    api = Api()
    api.gateway.scripts = [_stalled()]
    exchange = Exchange(api.app, "/v1/chat/completions", CHAT)
    async with exchange.running() as running:
        await api.gateway.opened.wait()
        await asyncio.wait_for(api.drain.run(0, 10), 10)
        await asyncio.wait_for(running, 10)
    assert exchange.status == 503


async def test_an_idle_server_drains_at_once() -> None:
    await asyncio.wait_for(Api().drain.run(1000, 1000), 10)


async def test_a_server_that_drains_as_a_whole_refuses_new_work() -> None:
    api = Api()
    api.table.update(snapshot(draining=True))
    assert (await api.chat()).json()["error"]["code"] == "draining"
    assert (await api.http.get("/health")).status_code == 503


async def test_a_request_cancelled_from_outside_stays_cancelled() -> None:
    never = asyncio.Event()

    async def silent() -> Message:
        await never.wait()
        raise AssertionError("nothing comes")

    request = asyncio.create_task(within(silent, Drain(), never.wait()))
    await asyncio.sleep(0)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
