"""Work in steps through the gateway: streamed or whole, and begun anew while that is honest."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest

from tests.support.replicas import Replica, served, soon, until
from tests.support.snapshots import deployment_status, replica_status, snapshot
from tests.support.work_engine import StepEngine, drawing, told_to_stop
from xinfer.core.gateway import Gateway, InMemory, RoutingTable, Work, WorkStream
from xinfer.errors import EngineFailed, ReplicaLost
from xinfer.settings import Settings
from xinfer.types.deployment import DeploymentState
from xinfer.types.event import Finished, Usage
from xinfer.types.product import Advance, Picture, Preview, Product

pytestmark = pytest.mark.anyio
SETTINGS = dataclasses.replace(Settings(), resume_deadline=5.0)
READY = DeploymentState.READY


@asynccontextmanager
async def gateway(*replicas: Replica) -> AsyncIterator[Gateway]:
    """A gateway to the deployment "m" of these replicas."""
    table = RoutingTable()
    states = (replica_status(one.address, one.address, READY) for one in replicas)
    status = deployment_status("m", *states, state=READY)
    loaded = StepEngine().load(lambda _: None)
    table.update(snapshot(msgspec.structs.replace(status, loaded=loaded)))
    made = Gateway(table, SETTINGS)
    try:
        yield made
    finally:
        await made.close()


def whole(gateway: Gateway, prompt: str = "", **more: object) -> asyncio.Task[Work[InMemory]]:
    request = drawing(prompt, **more)
    return asyncio.create_task(gateway.work_whole("m", request, InMemory, request_id="r"))


async def test_all_that_was_made_comes_whole_and_in_order() -> None:
    async with served(StepEngine()) as replica, gateway(replica) as here:
        work = await soon(whole(here, "big", n=30))
        assert work.keeper.products == [
            Picture(i, bytes([i]) * 1_000_000, 7 + i) for i in range(30)
        ]
        assert work.usage == Usage(3)


async def test_a_stream_gives_what_there_is_as_it_comes() -> None:
    engine = StepEngine(gated=True)
    async with served(engine) as replica, gateway(replica) as here:
        async with await here.work("m", drawing(), request_id="r") as stream:
            engine.release()
            assert await soon(anext(stream)) == [Advance(1, 3)]
            assert await soon(here.progress("r")) == pytest.approx(1 / 3)
            engine.release(2)
            rest: list[Product | Finished] = []
            async for batch in stream:
                rest += batch
        assert rest == [Advance(2, 3), Advance(3, 3), Picture(0, bytes(10), 7), rest[-1]]
        assert isinstance(rest[-1], Finished)
        assert await soon(here.progress("r")) == 1.0


async def test_previews_come_whole_and_before_their_picture() -> None:
    async with served(StepEngine()) as replica, gateway(replica) as here:
        async with await here.work("m", drawing("big", previews=2), request_id="r") as stream:
            made = [one async for batch in stream for one in batch]
        previews = [Preview(0, number, bytes([100 + number]) * 1_000_000) for number in range(2)]
        picture = Picture(0, bytes(1_000_000), 7)
        assert [one for one in made if isinstance(one, Picture | Preview)] == [*previews, picture]


async def test_progress_is_known_to_a_gateway_that_the_request_did_not_come_by() -> None:
    engines = StepEngine(gated=True), StepEngine(gated=True)
    async with (
        served(engines[0]) as one,
        served(engines[1]) as two,
        gateway(one, two) as here,
        gateway(one, two) as other,
    ):
        work = whole(here)
        engine = await until(lambda: next((e for e in engines if e.begun), None))
        engine.release(2)
        await until(lambda: engine.stepped == 2)
        while (known := await soon(other.progress("r"))) != pytest.approx(2 / 3):
            assert known in (0.0, pytest.approx(1 / 3))
        assert await soon(other.progress("another")) is None
        engine.release(9)
        await soon(work)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_lost_replicas_work_is_begun_anew_on_another(streamed: bool) -> None:
    engines = StepEngine(gated=True), StepEngine(gated=True)
    async with served(engines[0]) as one, served(engines[1]) as two, gateway(one, two) as here:

        async def read() -> list[Product | Finished]:
            async with await here.work("m", drawing(), request_id="r") as stream:
                return [item async for batch in stream for item in batch]

        async def take() -> list[Product]:
            work = await here.work_whole("m", drawing(), InMemory, request_id="r")
            return work.keeper.products

        work: asyncio.Task[list[object]] = asyncio.create_task(  # type: ignore[assignment]
            read() if streamed else take()
        )
        first, second = (
            (engines, (one, two))
            if await _begun(engines) == 0
            else (
                engines[::-1],
                (two, one),
            )
        )
        first[0].release()
        await until(lambda: first[0].stepped == 1)
        second[0].kill()
        first[1].release(9)
        items = await soon(work)
        assert Picture(0, bytes(10), 7) in items
        assert len([item for item in items if isinstance(item, Picture)]) == 1


async def _begun(engines: tuple[StepEngine, StepEngine]) -> int:
    await until(lambda: engines[0].begun or engines[1].begun)
    return 0 if engines[0].begun else 1


async def test_a_stream_of_which_something_was_given_is_never_begun_anew() -> None:
    engine = StepEngine(steps=1)
    async with served(engine) as replica, gateway(replica) as here:
        # More pictures than may be sent without credit: it cannot end before it is read.
        async with await here.work("m", drawing(n=1000), request_id="r") as stream:
            seen: list[Product | Finished] = []
            while not any(isinstance(item, Picture) for item in seen):
                seen += await soon(anext(stream))
            replica.kill()
            with pytest.raises(ReplicaLost):
                await soon(_rest(stream))
        assert len(engine.begun) == 1


async def _rest(stream: WorkStream) -> None:
    async for _ in stream:
        pass


async def test_a_failure_of_the_engine_is_not_tried_again() -> None:
    engine = StepEngine()
    async with served(engine) as replica, gateway(replica) as here:
        with pytest.raises(EngineFailed, match="a defect"):
            await soon(whole(here, "crash"))
        assert len(engine.begun) == 1


async def test_who_leaves_a_stream_cancels_what_runs() -> None:
    engine = StepEngine(gated=True, steps=100)
    async with served(engine) as replica, gateway(replica) as here:
        async with await here.work("m", drawing("left"), request_id="r") as stream:
            engine.release()
            await soon(anext(stream))
        await told_to_stop(replica)
        engine.release()
        await until(lambda: engine.cancelled == ["left"], "the end of the work")
        assert engine.stepped == 2
