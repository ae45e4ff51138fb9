"""The link to one replica: its load, its attempts, and what its end means for them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from tests.support.replicas import TOKEN, ScriptedEngine, prompt, served, soon, until
from xinfer.core.gateway.replica_link import ReplicaLink
from xinfer.core.link import Link, serve
from xinfer.core.security import new_token
from xinfer.errors import InvalidRequest, ReplicaLost, Unavailable
from xinfer.settings import Settings
from xinfer.types.event import Delta, Event, Finished, Refused, Started
from xinfer.types.failure import Failure
from xinfer.types.link import Abort, Cancel, Load, Part, Step, Submit, ToReplica

pytestmark = pytest.mark.anyio
SETTINGS = Settings()


def replica_link(address: str, settings: Settings = SETTINGS) -> ReplicaLink:
    return ReplicaLink(address, settings, lambda: None)


class FakeReplica:
    """Takes everything and answers what the test sends."""

    def __init__(self) -> None:
        self.received: list[ToReplica] = []
        self.link: Link | None = None

    def accept(self, link: Link) -> FakeReplica:
        self.link = link
        return self

    def on_frame(self, link: Link, payload: bytes) -> None:
        self.received.append(msgspec.msgpack.decode(payload, type=ToReplica))

    def on_lost(self, link: Link, reason: str) -> None:
        self.link = None

    def send(self, message: Step) -> None:
        assert self.link is not None
        self.link.send(msgspec.msgpack.encode(message))


@contextlib.asynccontextmanager
async def fake(
    tmp_path: Path, settings: Settings = SETTINGS
) -> AsyncIterator[tuple[FakeReplica, ReplicaLink]]:
    replica = FakeReplica()
    server = await serve(f"unix:{tmp_path / 'r.sock'}", TOKEN, replica.accept, SETTINGS)
    link = replica_link(server.address, settings)
    await link.open(TOKEN)
    try:
        yield replica, link
    finally:
        link.close()
        await server.close()


async def test_nobody_at_the_address_is_a_lost_replica(tmp_path: Path) -> None:
    link = replica_link(f"unix:{tmp_path}/nobody.sock")
    with pytest.raises(ReplicaLost):
        await link.open(TOKEN)
    assert link.closed


async def test_a_replica_with_another_token_is_a_lost_one() -> None:
    async with served(ScriptedEngine(), token=new_token()) as replica:
        link = replica_link(replica.address)
        with pytest.raises(ReplicaLost, match="token"):
            await link.open(TOKEN)
        assert link.closed


async def test_pressure_follows_what_is_reported_and_what_was_sent(tmp_path: Path) -> None:
    async with fake(tmp_path) as (replica, link):
        assert link.pressure == 0.0
        replica.send(Step(Load(3, 1, 8), []))
        await until(lambda: link.pressure == 0.5, "the report")
        attempts = [await link.submit(prompt(), f"r{i}") for i in range(6)]
        assert link.pressure == 1.25  # ours come on top of those of others
        for attempt in attempts:
            attempt.cancel()
        assert link.pressure == 0.5


async def test_what_came_before_the_start_is_kept_for_later(tmp_path: Path) -> None:
    async with fake(tmp_path) as (replica, link):
        attempt = await link.submit(prompt(), "r")
        submit = await until(lambda: replica.received, "the request")
        assert isinstance(submit[0], Submit)
        assert submit[0].window == SETTINGS.stream_window
        rid = submit[0].rid
        replica.send(Step(Load(1, 0, 8), [Started(rid, 5), Delta(rid, "a", [1])]))
        assert await soon(attempt.started()) == Started(rid, 5)
        assert await soon(attempt.take()) == [Delta(rid, "a", [1])]


async def test_a_cancelled_attempt_tells_the_replica_once_and_hears_no_more(
    tmp_path: Path,
) -> None:
    async with fake(tmp_path) as (replica, link):
        attempt = await link.submit(prompt(), "r")
        attempt.cancel()
        attempt.cancel()
        await until(lambda: len(replica.received) == 2, "the cancellation")
        other = await link.submit(prompt(), "other")
        await until(lambda: len(replica.received) == 3, "the next request")
        assert [type(message) for message in replica.received] == [Submit, Cancel, Submit]
        first, _, second = replica.received
        assert isinstance(first, Submit)
        assert isinstance(second, Submit)
        replica.send(Step(Load(1, 0, 8), [Started(first.rid, 1), Started(second.rid, 2)]))
        assert (await soon(other.started())).prompt_tokens == 2


async def test_after_its_end_an_attempt_is_not_cancelled(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with served(engine) as replica:
        link = replica_link(replica.address)
        await link.open(TOKEN)
        attempt = await link.submit(prompt(), "r")
        await engine.made(await engine.request(1), "x", "stop")
        events: list[Event] = []
        while not any(isinstance(event, Finished) for event in events):
            events += await soon(attempt.take())
        attempt.cancel()
        assert not await soon(link.abort("r"))
        assert engine.aborted == []
        assert link.pressure == 0.0
        link.close()


async def test_the_end_of_the_link_is_learned_after_what_came_before_it(tmp_path: Path) -> None:
    async with fake(tmp_path) as (replica, link):
        attempt, silent = await link.submit(prompt(), "r"), await link.submit(prompt(), "silent")
        abort = asyncio.create_task(link.abort("r"))
        await until(lambda: len(replica.received) == 3, "the requests")
        submit = replica.received[0]
        assert isinstance(submit, Submit)
        assert isinstance(replica.received[2], Abort)
        replica.send(Step(Load(3, 1, 8), [Delta(submit.rid, "a", [1])]))
        await until(lambda: link.pressure == 4 / 8, "the delta")
        assert replica.link is not None
        replica.link.abort("killed")
        for pending in (silent.take(), abort):
            with pytest.raises(ReplicaLost):
                await soon(pending)
        assert await soon(attempt.take()) == [Delta(submit.rid, "a", [1])]
        with pytest.raises(ReplicaLost):
            await soon(attempt.take())
        assert link.closed
        with pytest.raises(ReplicaLost):
            await soon((await link.submit(prompt(), "late")).started())
        with pytest.raises(ReplicaLost):
            await soon(link.inspect())
        assert link.pressure == 2 / 8  # those of others


async def test_a_malformed_frame_ends_the_link(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with fake(tmp_path) as (replica, link):
        attempt = await link.submit(prompt(), "r")
        assert replica.link is not None
        replica.link.send(b"\xc1 no message")
        with pytest.raises(ReplicaLost):
            await soon(attempt.started())
        assert link.closed
        assert "malformed" in caplog.text


async def test_a_request_larger_than_a_frame_comes_in_parts_and_others_between_them(
    tmp_path: Path,
) -> None:
    small = dataclasses.replace(SETTINGS, max_frame_bytes=1000)
    async with fake(tmp_path, small) as (replica, link):
        await link.submit(prompt("x" * 2000), "large")
        await link.submit(prompt(), "small")
        *parts, other = await until(lambda: replica.received[4:] and replica.received, "all")
        assert isinstance(other, Submit)
        assert all(isinstance(part, Part) and part.rid == 1 for part in parts)
        assert [part.left for part in parts if isinstance(part, Part)][-1] == 0
        whole = b"".join(part.data for part in parts if isinstance(part, Part))
        message = msgspec.msgpack.decode(whole, type=ToReplica)
        assert isinstance(message, Submit)
        assert message.request == prompt("x" * 2000)


async def test_what_is_left_of_a_large_request_is_not_sent_once_it_is_refused(
    tmp_path: Path,
) -> None:
    small = dataclasses.replace(SETTINGS, max_frame_bytes=1000)
    async with fake(tmp_path, small) as (replica, link):
        assert link._link is not None
        refusal = Step(Load(0, 0, 8), [Refused(1, Failure.of(Unavailable("It is full.")))])

        async def refuse() -> None:
            link.on_frame(link._link, msgspec.msgpack.encode(refusal))  # type: ignore[arg-type]

        link._link.drained = refuse  # type: ignore[method-assign]
        attempt = await link.submit(prompt("x" * 5000), "large")
        with pytest.raises(Unavailable, match="It is full"):
            await attempt.started()
        part, end = await until(lambda: replica.received[1:] and replica.received, "the end")
        assert isinstance(part, Part)
        assert part.left
        assert end == Cancel(1)


async def test_a_large_request_whose_link_ends_before_all_of_it_is_sent_was_not_sent(
    tmp_path: Path,
) -> None:
    small = dataclasses.replace(SETTINGS, max_frame_bytes=1000)
    async with fake(tmp_path, small) as (_, link):
        assert link._link is not None
        ending = link._link

        async def die() -> None:
            ending.abort("it dies")
            await until(lambda: link.closed, "the end")

        ending.drained = die  # type: ignore[method-assign]
        attempt = await link.submit(prompt("x" * 5000), "large")
        assert not attempt.sent
        with pytest.raises(ReplicaLost):
            await soon(attempt.started())


async def test_a_large_request_waits_for_a_replica_that_takes_nothing(tmp_path: Path) -> None:
    async with fake(tmp_path) as (replica, link):
        assert replica.link is not None
        transport = replica.link._transport
        assert transport is not None
        transport.pause_reading()
        sending = asyncio.create_task(link.submit(prompt("x" * (10 << 20)), "large"))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not sending.done()
        transport.resume_reading()
        await soon(sending)
        parts = await until(lambda: replica.received[10:] and replica.received, "the parts")
        assert sum(len(part.data) for part in parts if isinstance(part, Part)) > 10 << 20


async def test_an_answer_that_does_not_come_is_not_waited_for_long(tmp_path: Path) -> None:
    settings = dataclasses.replace(SETTINGS, control_timeout=0.02)
    async with fake(tmp_path, settings) as (_, link):
        with pytest.raises(ReplicaLost, match="does not answer"):
            await soon(link.abort("r"))


async def test_a_refusal_is_raised_as_it_was() -> None:
    async with served(ScriptedEngine()) as replica:
        link = replica_link(replica.address)
        await link.open(TOKEN)
        with pytest.raises(InvalidRequest) as error:
            await soon((await link.submit(prompt(max_tokens=0), "r")).started())
        assert error.value.param == "max_tokens"
        assert link.pressure == 0.0
        link.close()
