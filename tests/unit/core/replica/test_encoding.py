"""A replica of an encode engine: rows come as batches are computed, and each request ends once."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tests.support.encode_engine import BAD, BROKEN, LetterEngine, vector
from tests.support.replicas import Peer, ScriptedEngine, prompt, served, soon, until
from xinfer.core.replica.admission import Admission
from xinfer.core.replica.encoding import EncodeBackend
from xinfer.core.replica.outbox import Channel, Outbox
from xinfer.errors import EngineFailed
from xinfer.types.event import (
    Accepted,
    EncodeFinished,
    Failed,
    Refused,
    Rows,
    Started,
    Usage,
)
from xinfer.types.link import Cancel, Load, Spell, Spelled, Submit
from xinfer.types.request import EncodeRequest

pytestmark = pytest.mark.anyio


class Deaf:
    """A link that nobody reads."""

    def send(self, payload: bytes) -> None:
        pass


def texts(*texts: str, **more: object) -> EncodeRequest:
    return EncodeRequest(texts=list(texts), **more)  # type: ignore[arg-type]


def rows_of(peer: Peer, rid: int) -> dict[int, list[float]]:
    rows: dict[int, list[float]] = {}
    for event in peer.events(rid):
        if isinstance(event, Rows):
            numbers = np.frombuffer(event.data, "<f4").reshape(len(event.indices), -1)
            assert not rows.keys() & set(event.indices)
            rows.update(zip(event.indices, numbers.tolist(), strict=True))
    return rows


async def test_a_request_is_accepted_started_answered_in_rows_and_finished() -> None:
    async with served(LetterEngine()) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, texts("a", "b" * 100, "cc", "d", "ee"))
        end = await peer.event(1, EncodeFinished)
        assert end == EncodeFinished(1, "stop", Usage(70), truncated=(1,))
        events = peer.events(1)
        assert events[:2] == [Accepted(1), Started(1, 0)]
        assert all(isinstance(event, Rows) for event in events[2:-1])
        assert rows_of(peer, 1)[2] == vector([99, 99])
        assert len(rows_of(peer, 1)) == 5
        assert peer.steps[-1].load.running == 0  # its slot is free already


async def test_what_one_batch_brought_for_a_link_is_one_frame() -> None:
    engine = LetterEngine(gated=True)
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, texts("first"))
        await until(lambda: engine.begun)
        for rid in (2, 3, 4, 5):
            peer.submit(rid, texts("a"))
        await until(lambda: len(engine.tokenized) == 5)
        engine.release(1 << 10)
        await peer.event(5, EncodeFinished)
        frames = [{e.rid for e in step.events if isinstance(e, Rows)} for step in peer.steps]
        assert any(len(rids) >= 3 for rids in frames)


@pytest.mark.parametrize("how", ["cancel", "lost link", "abort"])
async def test_a_request_whose_client_has_gone_is_not_computed(how: str) -> None:
    engine = LetterEngine(gated=True)
    async with served(engine) as replica:
        peer, other = await Peer.of(replica), await Peer.of(replica)
        other.submit(1, texts("first"))
        await until(lambda: engine.begun)
        peer.submit(1, texts(*["gone"] * 20), request_id="gone")
        await peer.event(1, Started)
        if how == "cancel":
            peer.send(Cancel(1))
            await peer.settled()
        elif how == "lost link":
            peer.link.abort("it dies")
            await until(lambda: replica.admission.load.running == 1, "the end of the request")
        else:
            assert await other.abort("gone")
            assert (await peer.event(1, Failed)).failure.kind == "Cancelled"
        engine.release(1 << 10)
        other.submit(2, texts("last"))
        await other.event(2, EncodeFinished)
        assert engine.batches == [["first"], ["last"]]
        assert replica.admission.load.running == 0


async def test_a_large_request_holds_up_nobody() -> None:
    engine = LetterEngine(gated=True)
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, texts(*["large"] * 500))
        await until(lambda: engine.begun)
        peer.submit(2, texts("small"))
        await until(lambda: "small" in engine.tokenized)
        engine.release(3)
        await peer.event(2, EncodeFinished)
        assert len(rows_of(peer, 1)) <= 12


async def test_more_requests_than_slots_wait_and_more_than_that_are_refused() -> None:
    engine = LetterEngine(gated=True)
    async with served(engine, max_queue=2) as replica:
        peer = await Peer.of(replica)
        slots = replica.admission.slots
        assert slots == 16  # four batches of four
        for rid in range(1, slots + 4):
            peer.submit(rid, texts("a"))
        assert (await peer.event(slots + 3, Refused)).failure.code == "overloaded"
        engine.release(1 << 10)
        await peer.event(slots + 2, EncodeFinished)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (texts(), "no text"),
        (texts("a", dimensions=3), "not trained"),
        (prompt(), "vectors or scores"),
    ],
)
async def test_what_the_model_does_not_do_is_refused(request_: object, words: str) -> None:
    async with served(LetterEngine()) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, request_)  # type: ignore[arg-type]
        failure = (await peer.event(1, Refused)).failure
        assert failure.kind == "InvalidRequest"
        assert words in failure.message


async def test_a_language_model_refuses_texts_to_encode() -> None:
    async with served(ScriptedEngine()) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, texts("a"))
        assert "generates text" in (await peer.event(1, Refused)).failure.message


async def test_a_bad_text_fails_its_request_by_its_place() -> None:
    async with served(LetterEngine()) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, texts("a", BAD))
        failure = (await peer.event(1, Failed)).failure
        assert failure.message == "Text 1: a text cannot be computed."


async def test_draining_lets_requests_finish_and_takes_no_more() -> None:
    engine = LetterEngine(gated=True)
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, texts(*["a"] * 20))
        await peer.event(1, Started)
        enough = asyncio.Event()
        draining = asyncio.create_task(replica.service.drain(enough))
        await until(lambda: engine.begun)
        peer.submit(2, texts("a"))
        assert (await peer.event(2, Refused)).failure.code == "draining"
        engine.release(1 << 10)
        await peer.event(1, EncodeFinished)
        await soon(draining)


async def test_an_engine_that_is_done_for_ends_the_replica() -> None:
    engine = LetterEngine()
    backend = EncodeBackend(engine, engine.load(lambda _: None))
    running = asyncio.create_task(backend.run())
    channel = Channel(1, 1, 1, Outbox(Deaf(), lambda: Load(0, 0, 1)), lambda: None)  # type: ignore[arg-type]
    request = backend.begin(1, Submit(1, "r", texts(BROKEN), 1), 1, channel)
    task = asyncio.create_task(request.run(Admission(1, 0, 1.0)))
    with pytest.raises(EngineFailed, match="The device is gone"):
        await soon(running)
    task.cancel()


async def test_tokens_are_spelled_by_the_models_vocabulary() -> None:
    async with served(LetterEngine()) as replica:
        peer = await Peer.of(replica)
        peer.send(Spell(7, [97, 98]), Spell(8, [1 << 20]))
        await until(lambda: 8 in peer.answers)
        assert peer.answers[7] == Spelled(7, ["a", "b"])
        refused = peer.answers[8]
        assert isinstance(refused, Spelled)
        assert refused.failure is not None
        assert refused.failure.kind == "InvalidRequest"
