"""POST /v1/completions: one prompt or several, as text or token ids."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing, asynccontextmanager

from fastapi import APIRouter, Request, Response

from xinfer.api.lifetime import within
from xinfer.api.render.text import Chunks, add_usage, text_chunks, text_completion, usage_of
from xinfer.api.requests import InferenceRoute
from xinfer.api.routes.generation import Call, begin, check_choices, choices_frames, json_answer
from xinfer.api.schemas.answers import COMPLETION_ANSWER
from xinfer.api.schemas.completions import CompletionBody
from xinfer.api.sse import DONE, EventStream
from xinfer.core.gateway import (
    ChoiceEvents,
    Completion,
    alike,
    complete_choices,
    open_choices,
    share,
    together,
)
from xinfer.errors import InvalidRequest
from xinfer.types.event import Finished, Usage
from xinfer.types.request import CompletionRequest

_Opened = AbstractAsyncContextManager[AsyncIterator[ChoiceEvents]]

router = APIRouter(route_class=InferenceRoute, tags=["inference"])

PARALLEL = 8
"""Requests for one caller's prompts that a model gets at a time, so that they cannot fill it; all
answers to one prompt are wanted at a time, and are as many as `n` says."""

Prompts = list[list[CompletionRequest]]
"""For each prompt, as many requests as answers are made to it."""


@router.post("/v1/completions", responses=COMPLETION_ANSWER, response_class=Response)
async def create_completion(request: Request, body: CompletionBody) -> Response:
    """Continue text; as server-sent events with `stream`."""
    call = begin(request, body, "generate")
    check_choices(call, "best_of" if body.chooses else "n", body.made)
    if body.chooses:
        _check_can_choose(call)
    prompts = [alike(prompt, body.made) for prompt in body.requests()]
    here = call.services
    if body.stream:
        frames = _frames(call, prompts, body.include_usage)
        return EventStream(frames, here.drain, here.settings.sse_ping_interval, call.headers)
    answers = await within(request.receive, here.drain, _complete_all(call, prompts))
    usage = Usage()
    for completions in answers:
        usage = add_usage(usage, usage_of(completions))
        for choice, one in enumerate(completions):
            call.record.finish(one.reason, share(one.usage, choice), one.waited)
    if body.chooses:
        answers = [_likeliest(completions, body.n or 1) for completions in answers]
    answer = text_completion(
        [one for completions in answers for one in completions],
        usage,
        request_id=call.request_id,
        model=call.uid,
        created=call.created,
        logprobs=body.logprobs is not None,
    )
    return json_answer(answer, call.headers)


def _check_can_choose(call: Call) -> None:
    """
    Raises:
        InvalidRequest: the engine does not tell which answers are likely.
    """
    loaded = call.services.table.status(call.uid).loaded
    if loaded is not None and not loaded.abilities.logprobs:
        raise InvalidRequest(
            "`best_of` above `n` is not supported by the engine of this model: it tells no "
            "log-probabilities, which say what is best. Leave `best_of` out, or launch the model "
            "on another engine.",
            code="unsupported_parameter",
            param="best_of",
        )


async def _complete_all(call: Call, prompts: Prompts) -> list[list[Completion]]:
    """The answers in the order of the prompts; the first error ends them all."""
    places = call.services.table.capacity(call.uid) or PARALLEL
    gate = asyncio.Semaphore(max(1, min(PARALLEL, places) // len(prompts[0])))

    async def complete(requests: list[CompletionRequest]) -> list[Completion]:
        async with gate:
            return await complete_choices(
                call.services.gateway, call.uid, requests, request_id=call.request_id
            )

    if len(prompts) == 1:
        return [await complete(prompts[0])]
    return await together(complete(requests) for requests in prompts)


def _likeliest(completions: list[Completion], count: int) -> list[Completion]:
    """Those whose tokens have the highest log-probability in the mean, the best one first."""

    def mean(completion: Completion) -> float:
        values = [one.logprob for one in completion.logprobs]
        return sum(values) / len(values) if values else 0.0

    return sorted(completions, key=mean, reverse=True)[:count]


@asynccontextmanager
async def _frames(
    call: Call, prompts: Prompts, include_usage: bool
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The first prompt decides the status."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(_open(call, prompts[0]))
        source = _all_frames(call, first, prompts, include_usage)
        yield await stack.enter_async_context(aclosing(source))


def _open(call: Call, requests: list[CompletionRequest]) -> _Opened:
    return open_choices(call.services.gateway, call.uid, requests, request_id=call.request_id)


async def _all_frames(
    call: Call, choices: AsyncIterator[ChoiceEvents], prompts: Prompts, include_usage: bool
) -> AsyncGenerator[bytes, None]:
    """One prompt after the other, with its answers side by side; the usage of all is told at the
    end of the last."""
    total = Usage()
    for number, requests in enumerate(prompts):
        first = number * len(requests)
        chunks = [
            text_chunks(
                request_id=call.request_id,
                model=call.uid,
                created=call.created,
                include_usage=include_usage,
                index=first + choice,
            )
            for choice in range(len(requests))
        ]

        def close(
            choice: int,
            end: Finished,
            last: bool,
            chunks: list[Chunks] = chunks,
            last_prompt: bool = number + 1 == len(prompts),
        ) -> bytes:
            nonlocal total
            total = add_usage(total, end.usage)
            if last and last_prompt:
                return chunks[choice].close(end.reason, total) + DONE
            return chunks[choice].finish(end.reason, None)

        async with AsyncExitStack() as stack:
            if number:
                choices = await stack.enter_async_context(_open(call, requests))
            source = choices_frames(choices, chunks, call.record, opening=b"", close=close)
            frames = await stack.enter_async_context(aclosing(source))
            async for frame in frames:
                yield frame
