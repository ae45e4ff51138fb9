"""A replica of an engine that works in steps: what is made comes at once, and each request ends."""

from __future__ import annotations

import pytest

from tests.support.replicas import TOKEN, Peer, ScriptedEngine, prompt, served, soon, until
from tests.support.work_engine import StepEngine, drawing, told_to_stop
from xinfer.core.gateway.replica_link import ReplicaLink
from xinfer.core.replica.admission import Admission
from xinfer.core.replica.outbox import Channel, Outbox
from xinfer.core.replica.working import PIECE_BYTES, WorkBackend
from xinfer.errors import EngineFailed
from xinfer.settings import Settings
from xinfer.types.event import Accepted, Failed, Finished, Made, Refused, Started, Usage
from xinfer.types.link import Cancel, Credit, Follow, Load, Submit
from xinfer.types.product import Advance, Picture, Preview, Product, Sound
from xinfer.types.request import Media, SpeechRequest

pytestmark = pytest.mark.anyio


class Deaf:
    """A link that nobody reads."""

    def send(self, payload: bytes) -> None:
        pass


def made(peer: Peer, rid: int) -> list[Product]:
    return [event.product for event in peer.events(rid) if isinstance(event, Made)]


async def progress(peer: Peer, request_id: str) -> float | None:
    call = len(peer.answers) + 1000
    peer.send(Follow(call, request_id))
    answer = await until(lambda: peer.answers.get(call), "the progress")
    return answer.fraction  # type: ignore[union-attr]


async def test_a_request_is_accepted_started_worked_on_and_finished() -> None:
    async with served(StepEngine()) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, drawing("a cat", n=2))
        end = await peer.event(1, Finished)
        assert end == Finished(1, "stop", Usage(5))
        assert peer.events(1)[:2] == [Accepted(1), Started(1, 0)]
        assert made(peer, 1) == [
            *(Advance(step, 3) for step in (1, 2, 3)),
            Picture(0, bytes(10), 7),
            Picture(1, b"\1" * 10, 8),
        ]
        assert peer.steps[-1].load.running == 0  # its slot is free already


async def test_each_step_is_told_while_the_next_is_computed() -> None:
    engine = StepEngine(gated=True)
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, drawing(), request_id="slow")
        peer.submit(2, drawing(), request_id="waits")
        await peer.event(2, Accepted)
        assert await progress(peer, "slow") == 0.0
        engine.release()
        assert await peer.event(1, Made) == Made(1, Advance(1, 3))
        assert await progress(peer, "slow") == pytest.approx(1 / 3)
        assert await progress(peer, "waits") == 0.0
        assert await progress(peer, "nobody's") is None
        engine.release(5)
        await peer.event(2, Finished)
        assert await progress(peer, "slow") == 1.0


async def test_progress_of_several_under_one_id_is_that_of_all_and_never_goes_back() -> None:
    engine = StepEngine(gated=True)
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        for rid in (1, 2):
            peer.submit(rid, drawing(), request_id="both")
            await peer.event(rid, Accepted)
        seen = [await progress(peer, "both")]
        for step in range(6):
            engine.release()
            before, own = divmod(step, 3)
            rid, last = before + 1, Advance(own + 1, 3)
            await until(lambda rid=rid, last=last: last in made(peer, rid), "the step")  # type: ignore[misc]
            if own == 2:
                await peer.event(rid, Finished)
            seen.append(await progress(peer, "both"))
        assert seen == [pytest.approx(step / 6) for step in range(7)]


@pytest.mark.parametrize("how", ["cancel", "lost link", "abort", "killed in the queue"])
async def test_a_request_whose_client_has_gone_ends_with_its_step(how: str) -> None:
    engine = StepEngine(gated=True, steps=100)
    async with served(engine) as replica:
        peer, other = await Peer.of(replica), await Peer.of(replica)
        peer.submit(1, drawing("gone"), request_id="gone")
        engine.release()
        await peer.event(1, Made)
        await until(lambda: engine.stepped == 1)
        if how == "cancel":
            peer.send(Cancel(1))
            await peer.settled()
        elif how == "abort":
            assert await other.abort("gone")
            assert (await peer.event(1, Failed)).failure.kind == "Cancelled"
        else:
            if how == "killed in the queue":
                peer.submit(2, drawing("never begun"))
                await peer.event(2, Accepted)
            peer.link.abort("it dies")
            await until(lambda: replica.admission.load.waiting == 0, "the end of those who wait")
        other.submit(1, drawing("next"))
        await other.event(1, Accepted)
        assert replica.admission.load == Load(1, 1, 5), "it has its slot until its step has ended"
        await told_to_stop(replica)
        engine.release()
        await until(lambda: engine.cancelled == ["gone"], "the end of the step")
        assert engine.stepped == 2
        engine.release(100)
        await other.event(1, Finished)
        assert engine.begun == ["gone", "next"]


async def test_no_more_are_worked_on_at_once_than_the_engine_takes() -> None:
    engine = StepEngine(concurrency=2, gated=True)
    async with served(engine, max_queue=1) as replica:
        peer = await Peer.of(replica)
        for rid in (1, 2, 3, 4):
            peer.submit(rid, drawing(str(rid)))
        assert (await peer.event(4, Refused)).failure.code == "overloaded"
        await until(lambda: len(engine.begun) == 2)
        engine.release(100)
        await peer.event(3, Finished)
        assert engine.most == 2


@pytest.mark.parametrize(
    ("prompt_", "kind", "words"),
    [
        ("fail", "InvalidRequest", "cannot be drawn"),
        ("crash", "EngineFailed", "RuntimeError: a defect"),
        ("memory", "Unavailable", "not enough memory"),
    ],
)
async def test_a_failure_is_of_one_request_alone(prompt_: str, kind: str, words: str) -> None:
    async with served(StepEngine()) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, drawing(prompt_))
        failure = (await peer.event(1, Failed)).failure
        assert failure.kind == kind
        assert words in failure.message
        peer.submit(2, drawing("fine"))
        await peer.event(2, Finished)


async def test_what_the_engine_refuses_is_never_begun() -> None:
    engine = StepEngine()
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, drawing("refused"))
        assert (await peer.event(1, Refused)).failure.param == "prompt"
        peer.submit(2, prompt())
        assert "text2audio, text2image" in (await peer.event(2, Refused)).failure.message
        assert engine.begun == []


async def test_a_language_model_refuses_to_draw() -> None:
    async with served(ScriptedEngine()) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, drawing())
        assert "generates text" in (await peer.event(1, Refused)).failure.message


async def test_a_broken_engine_ends_its_replica() -> None:
    engine = StepEngine()
    loaded = engine.load(lambda _: None)
    backend = WorkBackend(engine, loaded)
    outbox = Outbox(Deaf(), lambda: Load(0, 0, 1))  # type: ignore[arg-type]
    request = backend.begin(
        1, Submit(1, "r", drawing("broken"), 8), 10, Channel(1, 8, 100, outbox, lambda: None)
    )
    await soon(request.run(Admission(1, 0, 60.0)))
    with pytest.raises(EngineFailed, match="the device is gone"):
        await soon(backend.run())


async def test_large_pictures_and_sound_come_in_pieces() -> None:
    async with served(StepEngine()) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, drawing("big"))
        await peer.event(1, Finished)
        pieces = [one for one in made(peer, 1) if isinstance(one, Picture)]
        assert [one.more for one in pieces] == [True] * (len(pieces) - 1) + [False]
        assert max(len(one.data) for one in pieces) == PIECE_BYTES
        assert b"".join(one.data for one in pieces) == bytes(1_000_000)
        peer.submit(3, drawing("big", previews=1))
        await peer.event(3, Finished)
        shown = [one for one in made(peer, 3) if isinstance(one, Preview)]
        assert max(len(one.data) for one in shown) == PIECE_BYTES
        peer.submit(2, SpeechRequest(text="ab"))
        await peer.event(2, Finished)
        sounds = [one for one in made(peer, 2) if isinstance(one, Sound)]
        assert len(sounds) == 4
        assert b"".join(one.data for one in sounds) == b"ab" * 100_000


async def test_the_work_waits_for_a_reader_that_takes_nothing() -> None:
    async with served(StepEngine()) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, drawing("big", n=2), window=3)
        await until(lambda: len(made(peer, 1)) == 3 + 3, "what may be sent")
        await peer.settled()
        assert len(made(peer, 1)) == 3 + 3
        peer.send(Credit(1, 100))
        await peer.event(1, Finished)


async def test_a_reader_that_goes_while_it_is_waited_for_frees_the_engine() -> None:
    engine = StepEngine()
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, drawing("big"), window=1)
        await until(lambda: len(made(peer, 1)) == 3 + 1, "what may be sent")
        peer.send(Cancel(1))
        peer.submit(2, drawing("next"))
        await peer.event(2, Finished)
        assert engine.cancelled == ["big"]


async def test_a_request_larger_than_a_frame_is_put_together_again() -> None:
    async with served(StepEngine()) as replica:
        link = ReplicaLink(replica.address, Settings(), lambda: None)
        await link.open(TOKEN)
        media = Media(bytes(range(256)) * 20_000, "image")
        attempt = await link.submit(drawing("large", images=(media,)), "r")
        await soon(attempt.started())
        link.close()
