"""One request in a replica: what the log and its client learn beside its text."""

from __future__ import annotations

import pytest

from tests.support.replicas import Peer, ScriptedEngine, prompt, served, until
from xinfer.core import logs
from xinfer.model.engine import TokenRequest
from xinfer.types.event import Accepted, Failed, Started
from xinfer.types.link import Begin, Cancel, Load, Submit

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


async def test_a_held_request_has_its_place_and_is_computed_once_it_is_begun() -> None:
    engine = ScriptedEngine(concurrency=1)
    async with served(engine, max_queue=1) as replica:
        peer = await Peer.of(replica)
        for rid in (1, 2):
            peer.send(Submit(rid, f"request-{rid}", prompt("hello"), 256, held=True))
            await peer.event(rid, Accepted)
        assert replica.admission.load == Load(0, 2, 2)
        peer.send(Begin(2))
        await peer.event(2, Started)
        assert len(engine.submitted) == 1
        peer.send(Cancel(1))
        await until(lambda: replica.admission.load == Load(1, 0, 2), "the place")
        peer.send(Begin(1))
        await peer.settled()
        assert len(engine.submitted) == 1


async def test_a_held_request_that_is_aborted_ends_as_one_that_runs() -> None:
    async with served(ScriptedEngine()) as replica:
        peer = await Peer.of(replica)
        peer.send(Submit(1, "held", prompt("hello"), 256, held=True))
        await peer.event(1, Accepted)
        assert await peer.abort("held")
        assert (await peer.event(1, Failed)).failure.code == "cancelled"
        await until(lambda: replica.admission.load.waiting == 0, "the place")
