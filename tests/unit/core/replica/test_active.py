"""One request in a replica: what the log and its client learn beside its text."""

from __future__ import annotations

import pytest

from tests.support.replicas import Peer, ScriptedEngine, prompt, served
from xinfer.core import logs
from xinfer.model.engine import TokenRequest
from xinfer.types.event import Accepted, Failed, Started

pytestmark = pytest.mark.anyio


async def test_what_the_log_says_of_a_request_has_its_id(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids: list[str] = []

    def break_down(_: TokenRequest) -> None:
        ids.append(logs.request_id.get())
        raise RuntimeError("a defect")

    engine = ScriptedEngine()
    monkeypatch.setattr(engine, "submit", break_down)
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, prompt("hello"), request_id="follow-me")
        peer.submit(2, prompt("hello"), request_id="me-too")
        await peer.event(2, Failed)
    assert ids == ["follow-me", "me-too"]
    assert [record.getMessage() for record in caplog.records] == [
        "Request follow-me failed",
        "Request me-too failed",
    ]


async def test_started_tells_how_long_a_request_waited() -> None:
    engine = ScriptedEngine(concurrency=1)
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, prompt("a"))
        peer.submit(2, prompt("b"))
        first = await engine.request(1)
        await peer.event(2, Accepted)
        await engine.made(first, "x", "stop")
        assert (await peer.event(1, Started)).waited == 0.0
        assert (await peer.event(2, Started)).waited > 0.0
