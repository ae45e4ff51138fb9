"""A replica's service over links: who is let in, what comes back, and how each request ends."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.support.replicas import SPEC, Peer, ScriptedEngine, echo, prompt, served, soon, until
from xinfer.core.replica.service import Service
from xinfer.errors import EngineFailed
from xinfer.model.engine import TokenEvent
from xinfer.model.llm.echo import EchoEngine, EchoOptions
from xinfer.model.llm.echo.tokenizer import END_OF_TEXT
from xinfer.model.llm.pipeline import Prepared, TextPipeline
from xinfer.settings import Settings
from xinfer.types.event import (
    Accepted,
    Delta,
    Failed,
    Finished,
    LogprobDelta,
    Refused,
    Started,
    TokenLogprob,
    Usage,
)
from xinfer.types.failure import Failure
from xinfer.types.link import Cancel, Credit, Inspect, Inspected, Load
from xinfer.types.request import ChatRequest, CompletionRequest, Media, Request, Sampling

pytestmark = pytest.mark.anyio
SETTINGS = Settings()


class Forgetful(EchoEngine):
    """Declares log-probabilities, and then does not tell them."""

    def __init__(self) -> None:
        super().__init__(SPEC, EchoOptions())

    async def steps(self) -> AsyncIterator[list[TokenEvent]]:
        async for events in super().steps():
            yield [msgspec.structs.replace(event, logprobs=[]) for event in events]


def text_of(peer: Peer, rid: int) -> str:
    return "".join(event.text for event in peer.events(rid) if isinstance(event, Delta))


async def test_a_request_is_accepted_started_answered_and_finished() -> None:
    engine = ScriptedEngine()
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, prompt("hello"))
        request = await engine.request(1)
        await engine.made(request, "he")
        await engine.made(request, "y", "stop")
        await peer.event(1, Finished)
        assert peer.events(1) == [
            Accepted(1),
            Started(1, 5),
            Delta(1, "he", [104, 101]),
            Delta(1, "y", [121]),
            Finished(1, "stop", Usage(5, 3, 0)),
        ]
        assert peer.steps[-1].load == Load(0, 0, 6)  # its slot is free already
        assert engine.aborted == []


async def test_a_small_request_with_a_picture_is_prepared_off_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on_the_loop = {}
    prepare = TextPipeline.prepare

    def record(self: TextPipeline, request: Request, *, id: int, resume: Any) -> Prepared:
        on_the_loop[type(request)] = threading.current_thread() is threading.main_thread()
        return prepare(self, request, id=id, resume=resume)

    monkeypatch.setattr(TextPipeline, "prepare", record)
    part = {"type": "image_url", "media": 0}
    chat = ChatRequest(
        messages=[{"role": "user", "content": [part]}], media=(Media(b"\x89PNG", "here"),)
    )
    async with served(ScriptedEngine()) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, chat)
        await peer.event(1, Refused)  # this engine does not see
        peer.submit(2, prompt())
        await peer.event(2, Started)
    assert on_the_loop == {ChatRequest: False, CompletionRequest: True}


async def test_log_probabilities_come_with_their_text_to_whom_asked() -> None:
    async with served(echo(tokens_per_step=2)) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, prompt("中a", logprobs=1))
        peer.submit(2, prompt("中a"))
        await peer.event(1, Finished)
        await peer.event(2, Finished)
        first, second, third, last = (bytes([byte]) for byte in "中a".encode())
        assert peer.events(1)[2] == LogprobDelta(
            1,
            "中a",
            list("中a".encode()),
            tuple(
                TokenLogprob(token, 0.0, ((token, 0.0),)) for token in (first, second, third, last)
            ),
        )
        assert peer.events(2)[2] == Delta(2, "中a", list("中a".encode()))


async def test_an_engine_that_owes_log_probabilities_fails_the_request_and_not_the_rest() -> None:
    async with served(Forgetful()) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, prompt("ab", logprobs=0))
        failed = await peer.event(1, Failed)
        assert failed.failure.kind == "EngineFailed"
        peer.submit(2, prompt("ab"))
        await peer.event(2, Finished)


async def test_tokens_without_text_at_the_end_still_tell_their_log_probabilities() -> None:
    async with served(echo()) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, CompletionRequest(prompt=[65, END_OF_TEXT], sampling=Sampling(logprobs=0)))
        await peer.event(1, Finished)
        assert peer.events(1)[2:] == [
            LogprobDelta(1, "A", [65], (TokenLogprob(b"A", 0.0),)),
            LogprobDelta(1, "", [END_OF_TEXT], (TokenLogprob(b"", 0.0),)),
            Finished(1, "stop", Usage(2, 2, 0)),
        ]


async def test_one_engine_step_is_one_frame_on_each_link() -> None:
    engine = ScriptedEngine(concurrency=4)
    async with served(engine) as replica:
        here, there = await Peer.of(replica), await Peer.of(replica)
        here.submit(1)
        here.submit(2)
        await engine.request(2)
        there.submit(1)
        ids = [await engine.request(number) for number in (1, 2, 3)]
        await here.event(2, Started)
        await there.event(1, Started)
        before = len(here.steps), len(there.steps)
        await engine.step(*(TokenEvent(each, [65]) for each in ids))
        await here.event(2, Delta)
        await there.event(1, Delta)
        assert (len(here.steps), len(there.steps)) == (before[0] + 1, before[1] + 1)
        assert here.steps[-1].events == [Delta(1, "A", [65]), Delta(2, "A", [65])]
        assert there.steps[-1].events == [Delta(1, "A", [65])]
        assert here.steps[-1].load == Load(3, 0, 8)


async def test_the_bound_holds_exactly_over_several_links_and_the_accepted_complete() -> None:
    engine = ScriptedEngine(concurrency=2)
    async with served(engine, max_queue=3) as replica:
        peers = [await Peer.of(replica), await Peer.of(replica)]
        for rid in range(10):
            for peer in peers:
                peer.submit(rid, request_id=f"r{rid}")
        for peer in peers:
            await peer.settled()
        every = [event for peer in peers for rid in range(10) for event in peer.events(rid)]
        assert sum(isinstance(event, Accepted) for event in every) == 5
        refused = [event for event in every if isinstance(event, Refused)]
        assert len(refused) == 15
        assert {event.failure.code for event in refused} == {"overloaded"}
        assert all(event.failure.retry_after for event in refused)
        for number in range(1, 6):
            await engine.made(await engine.request(number), "x", "stop")
        await until(lambda: replica.admission.load == Load(0, 0, 5), "the last place")
        for peer in peers:
            await peer.settled()
        every = [event for peer in peers for rid in range(10) for event in peer.events(rid)]
        assert sum(isinstance(event, Finished) for event in every) == 5


async def test_those_who_wait_get_their_slot_in_order() -> None:
    engine = ScriptedEngine(concurrency=1)
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        for rid in (1, 2, 3):
            peer.submit(rid, prompt(f"request {rid}"))
        for number in (1, 2, 3):
            request = await engine.request(number)
            assert bytes(engine.running[request].prompt).decode() == f"request {number}"
            assert len(engine.submitted) == number
            await engine.made(request, "x", "stop")
        await peer.event(3, Finished)


async def test_a_wait_for_a_slot_ends_with_an_error_and_frees_the_place() -> None:
    engine = ScriptedEngine(concurrency=1)
    settings = dataclasses.replace(SETTINGS, queue_timeout=0.01)
    async with served(engine, max_queue=1, settings=settings) as replica:
        peer = await Peer.of(replica)
        peer.submit(1)
        await engine.request(1)
        peer.submit(2)
        failure = (await peer.event(2, Failed)).failure
        assert (failure.kind, failure.code) == ("DeadlineExceeded", "timeout")
        await until(lambda: replica.admission.load.waiting == 0, "the free place")
        await engine.made(await engine.request(1), "x", "stop")
        await peer.event(1, Finished)
        assert len(engine.submitted) == 1


async def test_without_credit_text_is_merged_and_the_end_waits_while_others_go_on() -> None:
    engine = ScriptedEngine()
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, window=1)
        peer.submit(2)
        slow, quick = await engine.request(1), await engine.request(2)
        for letter in "abcd":
            await engine.step(TokenEvent(slow, [ord(letter)]), TokenEvent(quick, [ord(letter)]))
        await engine.step(TokenEvent(slow, [], "stop"), TokenEvent(quick, [], "stop"))
        await peer.event(2, Finished)
        await peer.settled()
        assert [event.text for event in peer.events(2) if isinstance(event, Delta)] == list("abcd")
        assert peer.events(1)[2:] == [Delta(1, "a", [97])]
        assert replica.admission.load.running == 0  # the engine is done with it
        peer.send(Credit(1, 1))
        assert (await peer.event(1, Finished)).usage.completion_tokens == 4
        assert peer.events(1)[3] == Delta(1, "bcd", [98, 99, 100])


async def test_a_reader_too_slow_for_the_backlog_is_ended_and_others_go_on() -> None:
    engine = ScriptedEngine()
    settings = dataclasses.replace(SETTINGS, stream_backlog=15)
    async with served(engine, settings=settings) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, window=0)
        peer.submit(2)
        slow, quick = await engine.request(1), await engine.request(2)
        await engine.step(TokenEvent(slow, [97, 98, 99]), TokenEvent(quick, [97]))
        await peer.settled()
        assert not any(isinstance(event, Failed) for event in peer.events(1))
        await engine.step(TokenEvent(slow, [100]), TokenEvent(quick, [98]))
        failure = (await peer.event(1, Failed)).failure
        assert (failure.kind, failure.code) == ("Cancelled", "slow_reader")
        assert engine.aborted == [slow]
        await engine.made(quick, "c", "stop")
        await peer.event(2, Finished)
        assert text_of(peer, 2) == "abc"


@pytest.mark.parametrize("way", ["cancel", "link loss", "abort"])
async def test_who_leaves_keeps_the_slot_until_the_engine_has_let_go(way: str) -> None:
    engine = ScriptedEngine(concurrency=1, lets_go=False)
    async with served(engine) as replica:
        leaver, waiter = await Peer.of(replica), await Peer.of(replica)
        leaver.submit(1, request_id="leaver")
        request = await engine.request(1)
        waiter.submit(1)
        await waiter.event(1, Accepted)
        if way == "cancel":
            leaver.send(Cancel(1))
        elif way == "link loss":
            leaver.link.abort("gone")
        else:
            assert await waiter.abort("leaver")
        await until(lambda: engine.aborted, "the abort")
        await waiter.settled()
        assert len(engine.submitted) == 1
        assert replica.admission.load == Load(1, 1, 5)
        await engine.step(TokenEvent(request, [], "abort"))
        await engine.made(await engine.request(2), "x", "stop")
        await waiter.event(1, Finished)


async def test_an_abort_after_the_client_has_left_finds_nothing_and_frees_no_slot() -> None:
    engine = ScriptedEngine(concurrency=1, lets_go=False)
    async with served(engine) as replica:
        leaver, waiter = await Peer.of(replica), await Peer.of(replica)
        leaver.submit(1, request_id="leaver")
        request = await engine.request(1)
        waiter.submit(1)
        leaver.send(Cancel(1))
        await leaver.settled()
        assert not await waiter.abort("leaver")
        await waiter.settled()
        assert len(engine.submitted) == 1
        await engine.step(TokenEvent(request, [], "abort"))
        await engine.request(2)


async def test_who_leaves_the_waiting_room_is_never_given_to_the_engine() -> None:
    engine = ScriptedEngine(concurrency=1)
    async with served(engine, max_queue=1) as replica:
        peer = await Peer.of(replica)
        peer.submit(1)
        peer.submit(2)
        await peer.event(2, Accepted)
        peer.send(Cancel(2))
        await until(lambda: replica.admission.load.waiting == 0, "the free place")
        peer.submit(3, prompt("third"))
        await peer.event(3, Accepted)
        await engine.made(await engine.request(1), "x", "stop")
        request = await engine.request(2)
        assert bytes(engine.running[request].prompt) == b"third"


async def test_a_lost_link_ends_all_that_it_carried_and_nothing_else() -> None:
    engine = ScriptedEngine(concurrency=2)
    async with served(engine) as replica:
        gone, stays = await Peer.of(replica), await Peer.of(replica)
        stays.submit(1)
        kept = await engine.request(1)
        for rid in (1, 2, 3):
            gone.submit(rid)
        await gone.event(3, Accepted)
        gone.link.abort("gone")
        await until(lambda: replica.admission.load == Load(1, 0, 6), "the free places")
        assert set(engine.running) == {kept}
        await engine.made(kept, "x", "stop")
        await stays.event(1, Finished)


async def test_an_abort_finds_a_request_by_its_public_id_whichever_link_it_came_by() -> None:
    engine = ScriptedEngine(concurrency=1)
    async with served(engine) as replica:
        owner, other = await Peer.of(replica), await Peer.of(replica)
        owner.submit(1, request_id="running")
        await engine.request(1)
        owner.submit(2, request_id="waiting")
        await owner.event(2, Accepted)
        assert not await other.abort("unknown")
        assert await other.abort("waiting")
        assert await other.abort("running")
        for rid in (1, 2):
            failure = (await owner.event(rid, Failed)).failure
            assert failure.kind == "Cancelled"
        await until(lambda: replica.admission.load == Load(0, 0, 5), "the free places")
        assert not await other.abort("running")
        assert len(engine.submitted) == 1


async def test_an_abort_also_ends_an_answer_that_waits_for_its_reader() -> None:
    engine = ScriptedEngine()
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, window=0, request_id="held")
        await engine.made(await engine.request(1), "all of it", "stop")
        await until(lambda: replica.admission.load.running == 0, "the engine's end")
        assert await peer.abort("held")
        assert (await peer.event(1, Failed)).failure.kind == "Cancelled"
        assert not await peer.abort("held")


async def test_an_exception_in_the_pipeline_fails_one_request_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = ScriptedEngine()
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1)
        peer.submit(2)
        broken, sound = await engine.request(1), await engine.request(2)
        await engine.step(TokenEvent(broken, [9999]), TokenEvent(sound, [65]))
        failure = (await peer.event(1, Failed)).failure
        assert failure.kind == "EngineFailed"
        assert "IndexError" in failure.message
        assert "request-1 failed" in caplog.text
        assert engine.aborted == [broken]
        await engine.made(sound, "B", "stop")
        await peer.event(2, Finished)
        assert text_of(peer, 2) == "AB"
        await until(lambda: replica.admission.load.running == 0, "both slots")


async def test_an_engine_that_fails_a_request_is_quoted() -> None:
    engine = ScriptedEngine()
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1)
        failure = Failure.of(EngineFailed("The cache is upside down."))
        await engine.step(TokenEvent(await engine.request(1), [65], "error", failure))
        assert (await peer.event(1, Failed)).failure == failure
        assert text_of(peer, 1) == "A"


async def test_an_engine_that_cannot_take_a_request_fails_it_before_its_start(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = ScriptedEngine()

    def refuse(request: object) -> None:
        raise RuntimeError("out of sorts")

    monkeypatch.setattr(engine, "submit", refuse)
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1)
        assert "out of sorts" in (await peer.event(1, Failed)).failure.message
        assert not any(isinstance(event, Started) for event in peer.events(1))
        assert "out of sorts" in caplog.text
        await until(lambda: replica.admission.load.running == 0, "the slot")


async def test_a_stop_string_ends_the_answer_and_the_work_on_it() -> None:
    engine = ScriptedEngine(concurrency=1, lets_go=False)
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, CompletionRequest(prompt="x", stop=("END",)), window=0)
        request = await engine.request(1)
        await engine.made(request, "one END two")
        assert engine.aborted == [request]
        await engine.made(request, "three")
        await engine.step(TokenEvent(request, [], "abort"))
        await until(lambda: replica.admission.load.running == 0, "the slot")
        peer.send(Credit(1, 1))
        assert (await peer.event(1, Finished)).reason == "stop"
        assert text_of(peer, 1) == "one "


async def test_an_invalid_request_is_refused_and_takes_no_place() -> None:
    engine = ScriptedEngine(concurrency=1)
    async with served(engine, max_queue=0) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, prompt("x", max_tokens=-1))
        refusal = (await peer.event(1, Refused)).failure
        assert (refusal.kind, refusal.param) == ("InvalidRequest", "max_tokens")
        assert peer.events(1) == [Refused(1, refusal)]
        peer.submit(2)
        await peer.event(2, Started)


async def test_a_long_request_is_prepared_off_the_loop_and_answered_alike() -> None:
    engine = ScriptedEngine()
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, prompt("x" * 100_000))
        request = await engine.request(1)
        assert len(engine.running[request].prompt) == 100_000
        assert (await peer.event(1, Started)).prompt_tokens == 100_000


async def test_a_malformed_frame_closes_its_link_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = ScriptedEngine()
    async with served(engine) as replica:
        bad, good = await Peer.of(replica), await Peer.of(replica)
        bad.submit(1)
        await engine.request(1)
        good.submit(1)
        request = await engine.request(2)
        bad.link.send(b"\xc1 this is no message")
        await until(lambda: bad.lost, "the end of the link")
        assert "could not be read" in caplog.text
        await until(lambda: set(engine.running) == {request}, "the abort")
        await engine.made(request, "x", "stop")
        await good.event(1, Finished)


async def test_it_tells_its_load_and_counters_when_asked() -> None:
    engine = ScriptedEngine(concurrency=1)
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1)
        peer.submit(2)
        await peer.event(2, Accepted)
        peer.send(Inspect(5))
        answer = await until(lambda: peer.answers.get(5), "the answer")
        assert answer == Inspected(5, Load(1, 1, 5), engine.stats())
        assert engine.stats().running == 1


async def drain(service: Service, enough: asyncio.Event) -> asyncio.Task[None]:
    task = asyncio.create_task(service.drain(enough))
    await asyncio.sleep(0)
    return task


async def test_draining_finishes_what_runs_and_takes_nothing_new() -> None:
    engine = ScriptedEngine(concurrency=1)
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1)
        peer.submit(2)
        await peer.event(2, Accepted)
        draining = await drain(replica.service, asyncio.Event())
        assert (await peer.event(2, Failed)).failure.code == "draining"
        peer.submit(3)
        refusal = (await peer.event(3, Refused)).failure
        assert (refusal.kind, refusal.code) == ("Unavailable", "draining")
        assert not draining.done()
        await engine.made(await engine.request(1), "x", "stop")
        await soon(draining)
        await peer.event(1, Finished)


async def test_draining_an_idle_replica_is_over_at_once() -> None:
    async with served(ScriptedEngine()) as replica:
        await soon(replica.service.drain(asyncio.Event()))


async def test_draining_waits_for_a_reader_to_take_the_rest() -> None:
    engine = ScriptedEngine()
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, window=0)
        await engine.made(await engine.request(1), "all of it", "stop")
        await until(lambda: replica.admission.load.running == 0, "the engine's end")
        draining = await drain(replica.service, asyncio.Event())
        await peer.settled()
        assert not draining.done()
        peer.send(Credit(1, 1))
        await soon(draining)
        await peer.event(1, Finished)
        assert text_of(peer, 1) == "all of it"


async def test_when_draining_has_lasted_enough_what_is_left_is_told_and_ended() -> None:
    engine = ScriptedEngine()
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1)
        peer.submit(2, window=0)
        running = await engine.request(1)
        await engine.made(await engine.request(2), "held", "stop")
        enough = asyncio.Event()
        draining = await drain(replica.service, enough)
        await peer.settled()
        assert not draining.done()
        enough.set()
        await soon(draining)
        for rid in (1, 2):
            failure = (await peer.event(rid, Failed)).failure
            assert (failure.kind, failure.code) == ("Unavailable", "draining")
        assert engine.aborted == [running]
        assert engine.running == {}


async def test_an_engine_that_never_lets_go_does_not_hold_up_the_end() -> None:
    engine = ScriptedEngine(lets_go=False)
    settings = dataclasses.replace(SETTINGS, stop_timeout=0.05)
    async with served(engine, settings=settings) as replica:
        peer = await Peer.of(replica)
        peer.submit(1)
        request = await engine.request(1)
        enough = asyncio.Event()
        enough.set()
        await soon(replica.service.drain(enough))
        assert (await peer.event(1, Failed)).failure.code == "draining"
        await engine.step(TokenEvent(request, [], "abort"))
        await until(lambda: replica.admission.load.running == 0, "the slot")


async def test_a_hundred_echoes_at_once_all_come_back_whole() -> None:
    async with served(echo(concurrency=8, tokens_per_step=3), max_queue=100) as replica:
        peer = await Peer.of(replica)
        for rid in range(100):
            peer.submit(rid, prompt(f"request number {rid}, échoed"))
        for rid in range(100):
            finished = await peer.event(rid, Finished)
            assert finished.reason == "stop"
            assert text_of(peer, rid) == f"request number {rid}, échoed"


async def test_the_end_names_the_stop_string_that_the_request_gave() -> None:
    engine = ScriptedEngine()
    async with served(engine) as replica:
        peer = await Peer.of(replica)
        peer.submit(1, CompletionRequest(prompt="hello", stop=("END", "!")))
        await engine.made(await engine.request(1), "one!two")
        end = await peer.event(1, Finished)
        assert (end.reason, end.stop) == ("stop", "!")
