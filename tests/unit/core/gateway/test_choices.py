"""Several answers to one prompt: when each is sent, where to, and what ends them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

from tests.support.replicas import Replica, ScriptedEngine, echo, prompt, served, soon, until
from tests.support.snapshots import deployment_status, replica_status, snapshot
from xinfer.core.gateway import Gateway, RoutingTable, alike, complete_choices, open_choices, share
from xinfer.core.gateway.choices import interleaved, together
from xinfer.errors import EngineFailed, Unavailable, XinferError
from xinfer.model.engine import TokenEvent
from xinfer.settings import Settings
from xinfer.types.event import Delta, Finished, Usage
from xinfer.types.link import Load
from xinfer.types.model import Abilities, Loaded
from xinfer.types.request import CompletionRequest, Sampling

pytestmark = pytest.mark.anyio
RESUMES = Abilities(resume=True)


@contextlib.asynccontextmanager
async def gateway(*replicas: Replica, slots: int = 2) -> AsyncIterator[Gateway]:
    """A gateway that knows these replicas of the deployment "m"."""
    table = RoutingTable()
    loaded = Loaded(context_length=1 << 20, concurrency=slots, abilities=RESUMES)
    shown = [replica_status(one.address, one.address, loaded=loaded) for one in replicas]
    table.update(snapshot(deployment_status("m", *shown, loaded=loaded)))
    made = Gateway(table, dataclasses.replace(Settings(), resume_deadline=5.0))
    try:
        yield made
    finally:
        await made.close()


def requests(count: int, **fields: object) -> list[CompletionRequest]:
    return alike(CompletionRequest(prompt="hello", **fields), count)  # type: ignore[arg-type]


async def read(here: Gateway, count: int, **fields: object) -> list[str | Finished]:
    """What came of each choice in the end: its text, then its end."""
    texts = [""] * count
    ends: list[Finished | None] = [None] * count
    async with open_choices(here, "m", requests(count, **fields), request_id="r") as choices:
        async for choice, _, events in choices:
            for event in events:
                if isinstance(event, Delta):
                    texts[choice] += event.text
                else:
                    ends[choice] = event
    assert None not in ends
    return [*texts, *[end for end in ends if end is not None]]


async def test_the_others_are_sent_once_the_prompt_has_been_computed() -> None:
    """Also where the text of the first token is held back, as the beginning of a stop string."""
    engine = ScriptedEngine(concurrency=3)
    async with served(engine) as replica, gateway(replica, slots=3) as here:
        task = asyncio.create_task(read(here, 3, stop=("xyz",)))
        first = await engine.request(1)
        await engine.step()
        assert len(engine.submitted) == 1
        await engine.made(first, "x")
        second, third = await engine.request(2), await engine.request(3)
        for request, text in ((third, "c"), (first, "a"), (second, "b")):
            await engine.made(request, text, "stop")
        texts = (await soon(task))[:3]
        assert texts == ["xa", "b", "c"]


async def test_an_answer_without_a_token_keeps_nobody_waiting() -> None:
    engine = ScriptedEngine(concurrency=2)
    async with served(engine) as replica, gateway(replica) as here:
        task = asyncio.create_task(read(here, 2))
        await engine.step(TokenEvent(await engine.request(1), [], "stop"))
        await engine.step(TokenEvent(await engine.request(2), [], "stop"))
        assert (await soon(task))[:2] == ["", ""]


async def test_choices_come_as_they_are_made() -> None:
    engine = ScriptedEngine(concurrency=2)
    async with (
        served(engine) as replica,
        gateway(replica) as here,
        open_choices(here, "m", requests(2), request_id="r") as choices,
    ):
        seen = []
        for number, text in ((1, "a"), (2, "b"), (2, "c"), (1, "d")):
            await engine.made(await engine.request(number), text)
            choice, _, (event,) = await soon(anext(choices))
            assert isinstance(event, Delta)
            seen.append((choice, event.text))
        assert seen == [(0, "a"), (1, "b"), (1, "c"), (0, "d")]


async def test_a_whole_answer_has_all_choices_in_order_and_sends_them_alike() -> None:
    engine = ScriptedEngine(concurrency=2)
    async with served(engine) as replica, gateway(replica) as here:
        work = complete_choices(here, "m", requests(2), request_id="r")
        task = asyncio.create_task(work)
        first = await engine.request(1)
        await engine.step()
        assert len(engine.submitted) == 1
        await engine.made(first, "a")
        await engine.made(await engine.request(2), "B", "stop")
        await engine.made(first, "b", "stop")
        assert [one.text for one in await soon(task)] == ["ab", "B"]


async def test_the_others_go_to_the_replica_that_has_computed_the_prompt_while_it_has_slots() -> (
    None
):
    engines = [ScriptedEngine(concurrency=2) for _ in range(4)]
    async with contextlib.AsyncExitStack() as stack:
        replicas = [await stack.enter_async_context(served(engine)) for engine in engines]
        here = await stack.enter_async_context(gateway(*replicas, slots=2))
        task = asyncio.create_task(read(here, 3))
        await until(lambda: any(engine.submitted for engine in engines), "the first")
        (chosen,) = [engine for engine in engines if engine.submitted]
        await chosen.made(chosen.submitted[0].id, "a")
        await until(lambda: sum(len(engine.submitted) for engine in engines) == 3, "all")
        assert sorted(len(engine.submitted) for engine in engines) == [0, 0, 1, 2]
        assert len(chosen.submitted) == 2
        for engine in engines:
            for request in engine.submitted:
                await engine.made(request.id, "b", "stop")
        assert (await soon(task))[:3] == ["ab", "b", "b"]


@pytest.mark.parametrize("whole", [False, True])
async def test_one_that_fails_ends_all(whole: bool) -> None:
    engine = ScriptedEngine(concurrency=3)
    async with served(engine) as replica, gateway(replica, slots=3) as here:
        work = complete_choices(here, "m", requests(3), request_id="r") if whole else read(here, 3)
        task: asyncio.Task[object] = asyncio.create_task(work)
        await engine.made(await engine.request(1), "a")
        await engine.request(3)
        await engine.step(TokenEvent(engine.submitted[1].id, [], "error"))
        with pytest.raises(EngineFailed):
            await soon(task)
        await until(lambda: len(engine.aborted) == 2, "the end of the others")
        assert set(engine.aborted) == {engine.submitted[0].id, engine.submitted[2].id}


@pytest.mark.parametrize("whole", [False, True])
async def test_one_that_finds_no_place_fails_the_request_before_anything_is_answered(
    whole: bool,
) -> None:
    engine = ScriptedEngine(concurrency=2)
    async with served(engine, max_queue=0) as replica, gateway(replica) as here:
        work = complete_choices(here, "m", requests(3), request_id="r") if whole else read(here, 3)
        with pytest.raises(Unavailable) as caught:
            await soon(work)
        assert caught.value.code == "overloaded"
        assert caught.value.retry_after
        await until(lambda: replica.admission.load == Load(0, 0, 2), "all places")
        assert engine.aborted == [request.id for request in engine.submitted]


async def test_all_have_their_places_before_the_first_answer_begins_and_others_run_meanwhile() -> (
    None
):
    engine = ScriptedEngine(concurrency=3)
    async with served(engine, max_queue=1) as replica, gateway(replica, slots=3) as here:
        async with open_choices(here, "m", requests(3), request_id="r") as choices:
            assert replica.admission.load == Load(1, 2, 4)
            other = await soon(here.open("m", prompt("other"), request_id="other"))
            with pytest.raises(Unavailable):
                await soon(here.open("m", prompt("more"), request_id="more"))
            first = await engine.request(1)
            await engine.made(first, "a")
            await soon(anext(choices))
            await engine.request(3)
            async with other:
                pass
            await engine.request(4)
        await until(lambda: replica.admission.load == Load(0, 0, 4), "all places")


async def test_more_than_there_are_slots_run_in_turns() -> None:
    async with served(echo(concurrency=1), max_queue=3) as replica, gateway(replica) as here:
        for _ in range(2):
            assert (await soon(read(here, 4)))[:4] == ["hello"] * 4
            work = complete_choices(here, "m", requests(4), request_id="r")
            assert [one.text for one in await soon(work)] == ["hello"] * 4
        assert replica.admission.load == Load(0, 0, 4)


async def test_those_that_each_have_a_part_of_the_room_do_not_wait_for_each_other() -> None:
    """From two API processes, so that they come in any order."""
    async with (
        served(echo(concurrency=2), max_queue=2) as replica,
        gateway(replica) as here,
        gateway(replica) as there,
    ):
        for _ in range(20):
            ends = await soon(asyncio.gather(read(here, 3), read(there, 3), return_exceptions=True))
            for end in ends:
                if isinstance(end, BaseException):
                    assert isinstance(end, Unavailable)
                else:
                    assert end[:3] == ["hello"] * 3
            await until(lambda: replica.admission.load == Load(0, 0, 4), "all places")
        assert (await soon(read(here, 3)))[:3] == ["hello"] * 3


async def test_a_place_that_is_lost_with_its_replica_is_taken_on_another() -> None:
    dying, other = ScriptedEngine(2, abilities=RESUMES), ScriptedEngine(2, abilities=RESUMES)
    async with served(dying) as one, served(other) as two, gateway(one, two, slots=2) as here:
        task = asyncio.create_task(read(here, 2))
        await until(lambda: dying.submitted or other.submitted, "the first")
        if not dying.submitted:
            dying, other, one, two = other, dying, two, one
        await until(lambda: one.admission.load == Load(1, 1, 6), "the place of the second")
        await one.stop_listening()
        await other.made(await other.request(1), "a", "stop")
        await other.made(await other.request(2), "b", "stop")
        assert (await soon(task))[:2] == ["a", "b"]
        assert len(dying.submitted) == 1


@pytest.mark.parametrize("whole", [False, True])
async def test_who_leaves_ends_all(whole: bool) -> None:
    engine = ScriptedEngine(concurrency=2)
    async with served(engine) as replica, gateway(replica) as here:
        for leave_at in (1, 2):
            engine.submitted.clear()
            engine.aborted.clear()
            work = (
                complete_choices(here, "m", requests(2), request_id="r") if whole else read(here, 2)
            )
            task: asyncio.Task[object] = asyncio.create_task(work)
            first = await engine.request(1)
            if leave_at == 2:
                await engine.made(first, "a")
                await engine.request(2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await soon(task)
            await until(lambda: len(engine.aborted) == len(engine.submitted), "the aborts")
            assert len(engine.aborted) == leave_at
        await until(lambda: replica.admission.load.running == 0, "free slots")


async def test_each_goes_on_by_itself_where_its_replica_dies() -> None:
    dying, other = ScriptedEngine(2, abilities=RESUMES), ScriptedEngine(2, abilities=RESUMES)
    async with served(dying) as one, served(other) as two, gateway(one, two, slots=2) as here:
        task = asyncio.create_task(read(here, 2))
        await until(lambda: dying.submitted or other.submitted, "the first")
        if not dying.submitted:  # whichever was chosen is the one that dies
            dying, other, one = other, dying, two
        await dying.made(await dying.request(1), "he")
        await dying.made(await dying.request(2), "HEL")
        await until(lambda: len(dying.running) == 2, "both")
        await one.stop_listening()
        await other.request(2)
        resumed = {bytes(request.resume): request.id for request in other.submitted}
        await other.made(resumed[b"he"], "y", "stop")
        await other.made(resumed[b"HEL"], "P", "stop")
        assert (await soon(task))[:2] == ["hey", "HELP"]


async def test_one_choice_is_a_request_like_any_other() -> None:
    async with served(echo()) as replica, gateway(replica) as here:
        text, end = await soon(read(here, 1))
        assert text == "hello"
        assert isinstance(end, Finished)
        assert end.usage == Usage(5, 5, 0)
        (completion,) = await soon(complete_choices(here, "m", requests(1), request_id="r"))
        assert completion.text == "hello"


def test_seeds_follow_from_the_seed_and_the_number() -> None:
    def seeds(seed: int | None, count: int) -> list[int | None]:
        made = alike(prompt(seed=seed), count)
        return [request.sampling.seed for request in made]

    assert seeds(None, 3) == [None, None, None]
    seven = seeds(7, 4)
    assert seven[0] == 7
    assert len(set(seven)) == 4
    assert seeds(7, 2) == seven[:2]
    assert not set(seven) & set(seeds(8, 4))
    assert all(0 <= seed < 1 << 32 for seed in seven if seed is not None)
    request = prompt(seed=7, temperature=0.5)
    assert alike(request, 2)[1].sampling == Sampling(seed=seven[1], temperature=0.5)


def test_only_the_first_choice_counts_the_prompt() -> None:
    usage = Usage(10, 5, 4, 2)
    assert share(usage, 0) == usage
    assert share(usage, 1) == Usage(0, 5, 0, 2)


async def test_of_a_source_no_more_is_asked_for_than_was_taken() -> None:
    asked = [0, 0]

    async def source(number: int) -> AsyncIterator[int]:
        while True:
            asked[number] += 1
            yield number

    both = interleaved([source(0), source(1)])
    taken = [await anext(both) for _ in range(10)]
    assert sorted(set(taken)) == [0, 1]
    await both.aclose()
    assert sum(asked) <= 10 + 2


async def test_together_ends_the_others_with_the_first_error() -> None:
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def fails() -> None:
        raise Unavailable("no")

    with pytest.raises(XinferError):
        await soon(together([waits(), fails()]))
    assert ended.is_set()
