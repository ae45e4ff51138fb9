"""The gateway: which replica gets a request, and what its client sees when one is lost."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.support.replicas import Replica, ScriptedEngine, echo, prompt, served, soon, until
from tests.support.snapshots import deployment_status, replica_status, snapshot
from xinfer.core.gateway import Completion, Gateway, ResponseStream, RoutingTable
from xinfer.errors import (
    InvalidRequest,
    NotFound,
    RateLimited,
    ReplicaLost,
    Unavailable,
    XinferError,
)
from xinfer.model.engine import Logprob, TokenEvent
from xinfer.settings import Settings
from xinfer.types.deployment import DeploymentState, DeploymentStatus
from xinfer.types.event import Delta, Finished, TokenLogprob, Usage
from xinfer.types.model import Abilities, Loaded
from xinfer.types.request import CompletionRequest

pytestmark = pytest.mark.anyio
SETTINGS = dataclasses.replace(Settings(), resume_deadline=5.0)


class Bench:
    """A gateway, and the deployment "m" as the supervisor would show it."""

    def __init__(self, settings: Settings) -> None:
        self.table = RoutingTable()
        self.gateway = Gateway(self.table, settings)
        self._version = 0

    def show(self, *replicas: Replica, state: DeploymentState = DeploymentState.READY) -> None:
        """These are its replicas now; one that was not shown before is new."""
        self.show_status(
            deployment_status(
                "m", *(replica_status(r.address, r.address, state) for r in replicas), state=state
            )
        )

    def show_status(self, status: DeploymentStatus) -> None:
        self._version += 1
        self.table.update(snapshot(status, version=self._version))

    async def open(self, text: str = "hello", **sampling: float) -> ResponseStream:
        return await soon(self.gateway.open("m", prompt(text, **sampling), request_id="r"))

    def opening(self, text: str = "hello") -> asyncio.Task[ResponseStream]:
        request = self.gateway.open("m", prompt(text), request_id="r")
        return asyncio.create_task(request)

    def completing(self, text: str = "hello", **sampling: Any) -> asyncio.Task[Completion]:
        request = self.gateway.complete("m", prompt(text, **sampling), request_id="r")
        return asyncio.create_task(request)


@contextlib.asynccontextmanager
async def bench(settings: Settings = SETTINGS) -> AsyncIterator[Bench]:
    made = Bench(settings)
    try:
        yield made
    finally:
        await made.gateway.close()


async def read(stream: ResponseStream) -> tuple[str, Finished | XinferError]:
    """The text that came, and the end."""
    text = ""
    try:
        async for batch in stream:
            for event in batch:
                if isinstance(event, Finished):
                    return text, event
                text += event.text
    except XinferError as error:
        return text, error
    raise AssertionError("the stream ended without its end")


async def failure(task: asyncio.Task[ResponseStream]) -> XinferError:
    with pytest.raises(XinferError) as error:
        await soon(task)
    return error.value


async def test_a_stream_has_the_text_and_its_end() -> None:
    async with served(echo()) as replica, bench() as here:
        here.show(replica)
        async with await here.open("hello") as stream:
            assert stream.prompt_tokens == 5
            text, end = await soon(read(stream))
        assert text == "hello"
        assert isinstance(end, Finished)
        assert (end.reason, end.usage) == ("stop", Usage(5, 5, 0))


async def test_a_reader_gets_all_that_has_come_and_gives_its_credit_back() -> None:
    engine = ScriptedEngine()
    settings = dataclasses.replace(SETTINGS, stream_window=2)
    async with served(engine) as replica, bench(settings) as here:
        here.show(replica)
        async with await here.open() as stream:
            request = await engine.request(1)
            for letter in "abcde":
                await engine.made(request, letter)
            first = await soon(anext(stream))
            while len(first) < 2:
                first += await soon(anext(stream))
            assert [event.text for event in first if isinstance(event, Delta)] == ["a", "b"]
            held = await soon(anext(stream))
            assert [event.text for event in held if isinstance(event, Delta)] == ["cde"]
            await engine.made(request, "f", "stop")
            text, end = await soon(read(stream))
            assert text == "f"
            assert isinstance(end, Finished)


async def test_leaving_a_stream_aborts_what_runs() -> None:
    engine = ScriptedEngine(concurrency=1)
    async with served(engine) as replica, bench() as here:
        here.show(replica)
        async with await here.open():
            request = await engine.request(1)
        await until(lambda: engine.aborted == [request], "the abort")
        await until(lambda: replica.admission.load.running == 0, "the slot")


async def test_a_client_that_leaves_the_queue_leaves_the_replicas_queue() -> None:
    engine = ScriptedEngine(concurrency=1)
    async with served(engine) as replica, bench() as here:
        here.show(replica)
        async with await here.open():
            waiting = here.opening()
            await until(lambda: replica.admission.load.waiting == 1, "the wait")
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            await until(lambda: replica.admission.load.waiting == 0, "the free place")


async def test_an_invalid_request_is_refused_once_and_not_tried_elsewhere() -> None:
    first, second = ScriptedEngine(), ScriptedEngine()
    async with served(first) as one, served(second) as two, bench() as here:
        here.show(one, two)
        with pytest.raises(InvalidRequest) as error:
            await here.open(max_tokens=-1)
        assert error.value.param == "max_tokens"
        assert len(one.links) + len(two.links) == 1


async def test_a_full_replica_is_passed_over_and_when_all_are_the_refusal_is_told() -> None:
    engines = [ScriptedEngine(concurrency=1) for _ in range(3)]
    async with contextlib.AsyncExitStack() as stack, bench() as here:
        replicas = [
            await stack.enter_async_context(served(engine, max_queue=0)) for engine in engines
        ]
        here.show(*replicas)
        for number in range(1, 4):
            await stack.enter_async_context(await here.open())
            assert sum(len(engine.submitted) for engine in engines) == number
        with pytest.raises(Unavailable) as error:
            await here.open()
        assert error.value.code == "overloaded"
        assert error.value.retry_after
        assert [len(engine.submitted) for engine in engines] == [1, 1, 1]


async def test_a_replica_at_its_limit_is_passed_over_and_when_all_are_the_refusal_is_429s() -> None:
    engines = [ScriptedEngine(concurrency=4) for _ in range(3)]
    async with contextlib.AsyncExitStack() as stack, bench() as here:
        limits = (1, 2, 0)  # as the shares of three are, when a fourth replica has gone
        replicas = [
            await stack.enter_async_context(served(engine, limit=limit))
            for engine, limit in zip(engines, limits, strict=True)
        ]
        here.show(*replicas)
        for _ in range(3):
            await stack.enter_async_context(await here.open())
        with pytest.raises(RateLimited) as error:
            await here.open()
        assert error.value.retry_after
        assert [len(engine.submitted) for engine in engines] == [1, 2, 0]


async def test_the_less_loaded_of_two_gets_the_next_request() -> None:
    busy, idle = ScriptedEngine(concurrency=16), ScriptedEngine(concurrency=16)
    async with contextlib.AsyncExitStack() as stack, bench() as here:
        replicas = [await stack.enter_async_context(served(e)) for e in (busy, idle)]
        here.show(replicas[0])
        for _ in range(9):
            await stack.enter_async_context(await here.open())
        here.show(*replicas)
        for _ in range(9):
            await stack.enter_async_context(await here.open())
        assert (len(busy.submitted), len(idle.submitted)) == (9, 9)


async def test_a_replica_lost_in_the_queue_passes_its_request_on_unseen() -> None:
    dying, other = ScriptedEngine(concurrency=1), echo()
    async with served(dying) as one, served(other) as two, bench() as here:
        here.show(one)
        running = await here.open()
        opening = here.opening("queued")
        await until(lambda: one.admission.load.waiting == 1, "the wait")
        here.show(one, two)
        one.kill()
        async with await soon(opening) as stream:
            text, end = await soon(read(stream))
        assert text == "queued"
        assert isinstance(end, Finished)
        assert len(dying.submitted) == 1
        text, end = await soon(read(running))
        assert text == "hello"  # nothing of it had been delivered either


async def test_after_the_first_delta_a_loss_is_an_error_and_never_a_clean_end() -> None:
    dying, other = ScriptedEngine(), ScriptedEngine()
    async with served(dying) as one, served(other) as two, bench() as here:
        here.show(one)
        async with await here.open() as stream:
            await dying.made(await dying.request(1), "half")
            here.show(one, two)
            batch = await soon(anext(stream))
            assert isinstance(batch[0], Delta)
            one.kill()
            text, end = await soon(read(stream))
        assert text == ""
        assert isinstance(end, ReplicaLost)
        assert other.submitted == []


def resumable(*replicas: Replica, generation: int = 1) -> DeploymentStatus:
    """A deployment of an engine that goes on behind given tokens."""
    status = deployment_status("m", *(replica_status(r.address, r.address) for r in replicas))
    loaded = Loaded(context_length=64, concurrency=2, abilities=Abilities(resume=True))
    deployment = msgspec.structs.replace(status.deployment, generation=generation)
    return msgspec.structs.replace(status, loaded=loaded, deployment=deployment)


async def test_a_stream_goes_on_elsewhere_behind_what_was_delivered() -> None:
    dying, other = ScriptedEngine(), ScriptedEngine()
    async with served(dying) as one, served(other) as two, bench() as here:
        here.show_status(resumable(one))
        async with await here.open("hi", max_tokens=9) as stream:
            request = await dying.request(1)
            await dying.made(request, "half")
            assert await soon(anext(stream)) == [Delta(1, "half", list(b"half"))]
            # Half a character was not delivered, so that it is made again.
            await dying.step(TokenEvent(request, list("é".encode()[:1])))
            here.show_status(resumable(one, two))
            one.kill()
            reading = asyncio.create_task(read(stream))
            request = await other.request(1)
            assert other.submitted[0].resume == list(b"half")
            assert (other.submitted[0].prompt, other.submitted[0].max_tokens) == (list(b"hi"), 9)
            await other.made(request, "é way", "stop")
            text, end = await soon(reading)
        assert text == "é way"
        assert isinstance(end, Finished)
        assert end.usage == Usage(2, 10, 0)


async def test_a_stream_whose_end_alone_was_lost_just_ends() -> None:
    dying, other = ScriptedEngine(), ScriptedEngine()
    async with served(dying) as one, served(other) as two, bench() as here:
        here.show_status(resumable(one))
        request = CompletionRequest(prompt="hi", stop=("!",))
        async with await soon(here.gateway.open("m", request, request_id="r")) as stream:
            await dying.made(await dying.request(1), "all")
            assert len(await soon(anext(stream))) == 1
            here.show_status(resumable(two))
            one.kill()
            reading = asyncio.create_task(read(stream))
            await other.made(await other.request(1), "!")
            text, end = await soon(reading)
        assert text == ""
        assert isinstance(end, Finished)
        assert (end.reason, end.usage.completion_tokens) == ("stop", 4)


@pytest.mark.parametrize("why", ["launched anew", "log-probabilities"])
async def test_a_stream_does_not_go_on_where_it_would_not_be_the_same(why: str) -> None:
    dying, other = ScriptedEngine(abilities=Abilities(logprobs=True)), ScriptedEngine()
    async with served(dying) as one, served(other) as two, bench() as here:
        here.show_status(resumable(one))
        asked = {"logprobs": 0} if why == "log-probabilities" else {}
        async with await here.open("hi", **asked) as stream:
            event = TokenEvent(await dying.request(1), [65], logprobs=[Logprob(-1.0)] * len(asked))
            await dying.step(event)
            assert len(await soon(anext(stream))) == 1
            here.show_status(resumable(two, generation=1 if asked else 2))
            one.kill()
            text, end = await soon(read(stream))
        assert text == ""
        assert isinstance(end, ReplicaLost)
        assert other.submitted == []


async def test_a_failed_request_ends_its_stream_after_what_it_made() -> None:
    engine = ScriptedEngine()
    async with served(engine) as replica, bench() as here:
        here.show(replica)
        async with await here.open() as stream:
            await engine.step(TokenEvent(await engine.request(1), [65], "error"))
            text, end = await soon(read(stream))
        assert text == "A"
        assert isinstance(end, XinferError)
        assert end.code == "engine_error"


async def test_a_whole_answer_is_made_anew_elsewhere() -> None:
    dying, other = ScriptedEngine(), echo()
    async with served(dying) as one, served(other) as two, bench() as here:
        here.show(one)
        task = here.completing("hello")
        await dying.made(await dying.request(1), "hal")
        here.show(one, two)
        one.kill()
        assert await soon(task) == Completion("hello", "stop", Usage(5, 5, 0))


async def test_a_whole_answer_has_the_log_probabilities_of_all_its_tokens() -> None:
    async with served(echo()) as replica, bench() as here:
        here.show(replica)
        completion = await soon(here.completing("abc", logprobs=1))
        assert completion.logprobs == tuple(
            TokenLogprob(token, 0.0, ((token, 0.0),)) for token in (b"a", b"b", b"c")
        )


async def test_an_adapter_that_is_not_loaded_is_asked_of_one_replica_only() -> None:
    async with served(echo()) as one, served(echo()) as two, bench() as here:
        here.show(one, two)
        request = CompletionRequest(prompt="hello", adapter="mine")
        with pytest.raises(NotFound, match="'mine'"):
            await soon(here.gateway.open("m", request, request_id="r"))
        assert sorted(len(replica.links) for replica in (one, two)) == [0, 1]


async def test_a_whole_answer_cut_off_by_a_stop_is_made_anew_elsewhere() -> None:
    stopping, other = ScriptedEngine(), echo()
    async with served(stopping) as one, served(other) as two, bench() as here:
        here.show(one)
        task = here.completing("hello")
        await stopping.made(await stopping.request(1), "hal")
        here.show(two)
        enough = asyncio.Event()
        enough.set()
        await soon(one.service.drain(enough))
        assert (await soon(task)).text == "hello"


async def test_a_whole_answer_that_kills_every_replica_is_given_up() -> None:
    engines = [ScriptedEngine() for _ in range(4)]
    async with contextlib.AsyncExitStack() as stack, bench() as here:
        replicas = [await stack.enter_async_context(served(engine)) for engine in engines]
        here.show(replicas[0])
        task = here.completing()
        for engine, replica, following in zip(engines, replicas, replicas[1:], strict=False):
            await engine.request(1)
            await engine.made(engine.submitted[0].id, "x")
            here.show(following)
            replica.kill()
        assert isinstance(await _error(task), ReplicaLost)
        assert [len(engine.submitted) for engine in engines] == [1, 1, 1, 0]


@pytest.mark.parametrize("whole", [True, False])
async def test_a_request_that_kills_replicas_before_they_answer_is_given_up(whole: bool) -> None:
    engines = [ScriptedEngine() for _ in range(4)]
    async with contextlib.AsyncExitStack() as stack, bench() as here:
        replicas = [await stack.enter_async_context(served(engine)) for engine in engines]
        here.show(replicas[0])
        task: asyncio.Task[Any] = (
            here.completing() if whole else asyncio.create_task(read(await here.open()))
        )
        for engine, replica, following in zip(engines, replicas, replicas[1:], strict=False):
            await engine.request(1)
            here.show(following)
            replica.kill()
        end = await _error(task) if whole else (await soon(task))[1]
        assert isinstance(end, ReplicaLost)
        assert [len(engine.submitted) for engine in engines] == [1, 1, 1, 0]


async def _error(task: asyncio.Task[Any]) -> XinferError:
    with pytest.raises(XinferError) as error:
        await soon(task)
    return error.value


async def test_a_request_waits_for_its_replica_to_be_started_again() -> None:
    dying, reborn = ScriptedEngine(), echo()
    async with served(dying) as one, served(reborn) as again, bench() as here:
        here.show(one)
        async with await here.open() as stream:
            await one.stop_listening()
            reading = asyncio.create_task(read(stream))
            here.show(state=DeploymentState.RESTARTING)
            await asyncio.sleep(0)
            assert not reading.done()
            here.show(again)
            text, end = await soon(reading)
        assert text == "hello"
        assert isinstance(end, Finished)


async def test_the_wait_for_a_replica_ends_at_the_resume_deadline() -> None:
    settings = dataclasses.replace(SETTINGS, resume_deadline=0.05)
    async with served(ScriptedEngine()) as replica, bench(settings) as here:
        here.show(replica)
        async with await here.open() as stream:
            await replica.stop_listening()
            text, end = await soon(read(stream))
        assert text == ""
        assert isinstance(end, ReplicaLost)


@pytest.mark.parametrize("end", ["error", "gone"])
async def test_a_deployment_that_is_given_up_ends_the_wait_at_once(end: str) -> None:
    settings = dataclasses.replace(SETTINGS, resume_deadline=600.0)
    async with served(ScriptedEngine()) as replica, bench(settings) as here:
        here.show(replica)
        stream = await here.open()
        await replica.stop_listening()
        reading = asyncio.create_task(read(stream))
        if end == "error":
            here.show(state=DeploymentState.ERROR)
        else:
            here.table.update(snapshot(version=9))
        _, error = await soon(reading)
        assert isinstance(error, (ReplicaLost, NotFound))


async def test_a_replica_whose_link_broke_is_the_last_choice_for_a_while() -> None:
    gone, alive = ScriptedEngine(concurrency=9), ScriptedEngine(concurrency=9)
    async with contextlib.AsyncExitStack() as stack:
        one = await stack.enter_async_context(served(gone))
        two = await stack.enter_async_context(served(alive))
        here = await stack.enter_async_context(bench())
        here.show(one)
        reading = asyncio.create_task(read(await here.open()))
        await gone.request(1)
        here.show(one, two)
        one.kill()  # and it listens again at once
        await alive.request(1)
        for _ in range(5):
            await stack.enter_async_context(await here.open())
        assert (len(gone.submitted), len(alive.submitted)) == (1, 6)
        await alive.made(alive.submitted[0].id, "x", "stop")
        await soon(reading)


async def test_a_link_that_broke_is_opened_again() -> None:
    async with served(echo()) as replica, bench() as here:
        here.show(replica)
        assert (await soon(here.completing("one"))).text == "one"
        replica.kill()
        # Whether the gateway has noticed yet or not: the replica lives.
        assert (await soon(here.completing("two"))).text == "two"
        assert len(replica.links) == 2


async def test_many_requests_at_once_share_one_link() -> None:
    async with served(echo(concurrency=8), max_queue=50) as replica, bench() as here:
        here.show(replica)
        texts = [f"request {i}" for i in range(30)]
        answers = await soon(asyncio.gather(*(here.completing(text) for text in texts)))
        assert [answer.text for answer in answers] == texts
        assert len(replica.links) == 1


async def test_an_abort_reaches_requests_of_other_gateways_and_draining_replicas() -> None:
    engines = [ScriptedEngine(), ScriptedEngine()]
    async with (
        served(engines[0]) as one,
        served(engines[1]) as two,
        bench() as here,
        bench() as there,
    ):
        there.show(two)
        stream = await there.open()
        here.show_status(
            deployment_status(
                "m",
                replica_status("one", one.address),
                replica_status("two", two.address, DeploymentState.DRAINING),
                replica_status("three", state=DeploymentState.LOADING),
            )
        )
        assert not await soon(here.gateway.abort("m", "unknown"))
        assert await soon(here.gateway.abort("m", "r"))
        _, end = await soon(read(stream))
        assert isinstance(end, XinferError)
        assert end.code == "cancelled"


async def test_an_abort_of_an_unknown_model_is_not_found_and_a_dead_replica_has_nothing() -> None:
    async with served(ScriptedEngine()) as replica, bench() as here:
        here.show(replica)
        with pytest.raises(NotFound):
            await here.gateway.abort("x", "r")
        await replica.stop_listening()
        assert not await soon(here.gateway.abort("m", "r"))


async def test_replicas_tell_how_they_are_and_the_dead_are_left_out() -> None:
    engine = ScriptedEngine()
    async with served(engine) as one, served(ScriptedEngine()) as two, bench() as here:
        here.show(one, two)
        await two.stop_listening()
        answer = await soon(here.gateway.inspect("m"))
        assert set(answer) == {one.address}
        assert answer[one.address].load.capacity == 6


async def test_without_a_ready_replica_the_state_is_told() -> None:
    async with bench() as here:
        here.show(state=DeploymentState.LOADING)
        with pytest.raises(Unavailable) as error:
            await here.open()
        assert error.value.code == "model_loading"


async def test_a_gateway_that_closes_ends_its_links() -> None:
    async with served(echo()) as replica:
        async with bench() as here:
            here.show(replica)
            await soon(here.completing())
        await until(lambda: replica.links[0].closed, "the end of the link")
