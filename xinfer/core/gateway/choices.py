"""Several answers to one prompt: as many requests, of which the first computes it for the others.

All of them have their places before the first answer begins, or none has: who finds no place is
refused at once and waits for nothing, so that two that each have some of the room cannot wait for
each other. Otherwise each is a request like any other, also to a replica that dies. The others are
begun once the prompt of the first has been computed: by then an engine that reuses the beginnings
of prompts has it, and the first answer is not held up by them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from msgspec.structs import replace

from xinfer.core.gateway.siblings import Siblings
from xinfer.core.gateway.stream import ResponseStream
from xinfer.types.event import Delta, Finished, Usage
from xinfer.types.request import TextRequest

if TYPE_CHECKING:
    from xinfer.core.gateway.gateway import Completion, Gateway
    from xinfer.core.gateway.replica_link import Attempt

T = TypeVar("T")
R = TypeVar("R", bound=TextRequest)

_SEED_BYTES = 4
"""Every engine takes seeds of this size as they are."""


class ChoiceEvents(NamedTuple):
    """What has come of one of the answers."""

    choice: int
    stream: ResponseStream
    events: list[Delta | Finished]


def alike(request: R, count: int) -> list[R]:
    """A request as often as answers are wanted. With a seed, each has one that follows from it and
    its number, so that the same request gets the same answers; the first keeps it."""
    seed = request.sampling.seed
    if seed is None:
        return [request] * count
    return [
        request
        if not index
        else replace(request, sampling=replace(request.sampling, seed=_seed(seed, index)))
        for index in range(count)
    ]


def share(usage: Usage, index: int) -> Usage:
    """What an answer adds to the usage of all: only the first one the prompt."""
    return usage if not index else Usage(0, usage.completion_tokens, 0, usage.reasoning_tokens)


async def complete_choices(
    gateway: Gateway, uid: str, requests: Sequence[TextRequest], *, request_id: str
) -> list[Completion]:
    """The whole answers; the first error ends all of them.

    Raises:
        XinferError: as `Gateway.complete`.
    """
    if len(requests) == 1:
        return [await gateway.complete(uid, requests[0], request_id=request_id)]
    async with _places(gateway, uid, requests, request_id) as (siblings, places):

        async def complete(index: int, request: TextRequest) -> Completion:
            if index:
                await siblings.computed.wait()
            return await gateway.complete(
                uid, request, request_id=request_id, siblings=siblings, reserved=places[index]
            )

        return await together(complete(index, request) for index, request in enumerate(requests))


@asynccontextmanager
async def open_choices(
    gateway: Gateway, uid: str, requests: Sequence[TextRequest], *, request_id: str
) -> AsyncIterator[AsyncIterator[ChoiceEvents]]:
    """The answers as they come, each up to its `Finished`; entered when all requests have their
    places and the first is with its engine. Leaving it ends them all, and so does the first error.

    Raises:
        XinferError: as `Gateway.open`.
    """
    if len(requests) == 1:  # nothing to wait for, and so no task for each of its batches
        alone = await gateway.open(uid, requests[0], request_id=request_id)
        async with alone, aclosing(_events(0, alone)) as events:
            yield events
        return
    async with _places(gateway, uid, requests, request_id) as (siblings, places):

        async def begin(index: int) -> ResponseStream:
            return await gateway.open(
                uid,
                requests[index],
                request_id=request_id,
                siblings=siblings,
                reserved=places[index],
            )

        async def others(index: int) -> AsyncGenerator[ChoiceEvents, None]:
            await siblings.computed.wait()
            async with aclosing(_events(index, await begin(index))) as events:
                async for event in events:
                    yield event

        first = await begin(0)
        sources = [_events(0, first), *(others(index) for index in range(1, len(requests)))]
        async with first, AsyncExitStack() as stack:
            for source in sources:
                await stack.enter_async_context(aclosing(source))
            yield await stack.enter_async_context(aclosing(interleaved(sources)))


@asynccontextmanager
async def _places(
    gateway: Gateway, uid: str, requests: Sequence[TextRequest], request_id: str
) -> AsyncIterator[tuple[Siblings, list[Attempt]]]:
    """Places for all, of which the first is computed already; given back in the end.

    Raises:
        XinferError: one of them has none.
    """
    siblings = Siblings()
    async with AsyncExitStack() as stack:

        async def reserve(request: TextRequest, *, held: bool) -> Attempt:
            attempt = await gateway.reserve(
                uid, request, request_id=request_id, siblings=siblings, held=held
            )
            stack.callback(attempt.cancel)
            return attempt

        first = await reserve(requests[0], held=False)
        others = await together(reserve(request, held=True) for request in requests[1:])
        yield siblings, [first, *others]


async def _events(index: int, stream: ResponseStream) -> AsyncGenerator[ChoiceEvents, None]:
    async with stream:
        async for events in stream:
            yield ChoiceEvents(index, stream, events)


async def interleaved(sources: Sequence[AsyncIterator[T]]) -> AsyncGenerator[T, None]:
    """What comes from all sources, as it comes. Of each no more is asked for before what it gave
    has been taken."""
    waiting: dict[asyncio.Task[T], AsyncIterator[T]] = {}

    def ask(source: AsyncIterator[T]) -> None:
        waiting[asyncio.create_task(_next(source))] = source

    for source in sources:
        ask(source)
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in [task for task in waiting if task in done]:
                source = waiting.pop(task)
                try:
                    item = task.result()
                except StopAsyncIteration:
                    continue
                yield item
                ask(source)
    finally:
        await _end(waiting)


async def _next(source: AsyncIterator[T]) -> T:
    return await anext(source)


async def together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all, in order; the first error, or a cancellation, ends the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await _end(tasks)


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    running = list(tasks)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _seed(seed: int, index: int) -> int:
    digest = blake2b(f"{seed} {index}".encode(), digest_size=_SEED_BYTES).digest()
    return int.from_bytes(digest, "big")
