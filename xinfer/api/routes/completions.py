"""POST /v1/completions: one prompt or several, as text or token ids."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from fastapi import APIRouter, Request, Response

from xinfer.api.lifetime import cancel, within
from xinfer.api.render.text import Chunks, add_usage, text_chunks, text_completion
from xinfer.api.requests import InferenceRoute
from xinfer.api.routes.generation import Call, begin, choice_frames, json_answer
from xinfer.api.schemas.answers import COMPLETION_ANSWER
from xinfer.api.schemas.completions import CompletionBody
from xinfer.api.sse import DONE, EventStream
from xinfer.core.gateway import Completion, ResponseStream
from xinfer.types.event import Finished, Usage
from xinfer.types.request import CompletionRequest

router = APIRouter(route_class=InferenceRoute, tags=["inference"])

PARALLEL_PROMPTS = 8
"""Prompts of one request that a model gets at a time, so that one caller cannot fill it."""


@router.post("/v1/completions", responses=COMPLETION_ANSWER, response_class=Response)
async def create_completion(request: Request, body: CompletionBody) -> Response:
    """Continue text; as server-sent events with `stream`."""
    call = begin(request, body, "generate")
    prompts = body.requests()
    here = call.services
    if body.stream:
        frames = _frames(call, prompts, body.include_usage)
        return EventStream(frames, here.drain, here.settings.sse_ping_interval, call.headers)
    completions = await within(request.receive, here.drain, _complete_all(call, prompts))
    for completion in completions:
        call.record.finish(completion.reason, completion.usage, completion.waited)
    answer = text_completion(
        completions,
        request_id=call.request_id,
        model=call.uid,
        created=call.created,
        logprobs=body.logprobs is not None,
    )
    return json_answer(answer, call.headers)


async def _complete_all(call: Call, prompts: list[CompletionRequest]) -> list[Completion]:
    """The answers in the order of the prompts; the first error ends them all."""
    gate = asyncio.Semaphore(PARALLEL_PROMPTS)

    async def complete(prompt: CompletionRequest) -> Completion:
        async with gate:
            return await call.services.gateway.complete(
                call.uid, prompt, request_id=call.request_id
            )

    if len(prompts) == 1:
        return [await complete(prompts[0])]
    tasks = [asyncio.create_task(complete(prompt)) for prompt in prompts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await cancel(*tasks)


@asynccontextmanager
async def _frames(
    call: Call, prompts: list[CompletionRequest], include_usage: bool
) -> AsyncIterator[AsyncIterator[bytes]]:
    """The first prompt decides the status."""
    first = await call.services.gateway.open(call.uid, prompts[0], request_id=call.request_id)
    async with first, aclosing(_choices(call, first, prompts, include_usage)) as frames:
        yield frames


async def _choices(
    call: Call, stream: ResponseStream, prompts: list[CompletionRequest], include_usage: bool
) -> AsyncGenerator[bytes, None]:
    """The choices one after the other; the usage of all is told at the end of the last."""
    here = call.services
    total = Usage()
    for index, prompt in enumerate(prompts):
        if index > 0:
            stream = await here.gateway.open(call.uid, prompt, request_id=call.request_id)
        chunks = text_chunks(
            request_id=call.request_id,
            model=call.uid,
            created=call.created,
            include_usage=include_usage,
            index=index,
        )

        def close(
            end: Finished, chunks: Chunks = chunks, last: bool = prompt is prompts[-1]
        ) -> bytes:
            nonlocal total
            total = add_usage(total, end.usage)
            return (
                chunks.close(end.reason, total) + DONE if last else chunks.finish(end.reason, None)
            )

        async with (
            stream,
            aclosing(
                choice_frames(stream, chunks, call.record, opening=b"", close=close)
            ) as frames,
        ):
            async for frame in frames:
                yield frame
