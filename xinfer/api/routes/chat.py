"""POST /v1/chat/completions."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from fastapi import APIRouter, Request, Response

from xinfer.api.lifetime import within
from xinfer.api.media import with_media
from xinfer.api.render.text import ChatChunks, add_usage, chat_completion
from xinfer.api.requests import InferenceRoute
from xinfer.api.routes.generation import (
    Call,
    begin,
    check_choices,
    choices_frames,
    json_answer,
    with_call_deltas,
)
from xinfer.api.schemas.answers import CHAT_ANSWER
from xinfer.api.schemas.chat import ChatBody
from xinfer.api.sse import DONE, EventStream
from xinfer.core.gateway import alike, complete_choices, open_choices, share
from xinfer.types.event import Finished, Usage
from xinfer.types.request import ChatRequest

router = APIRouter(route_class=InferenceRoute, tags=["inference"])


@router.post("/v1/chat/completions", responses=CHAT_ANSWER, response_class=Response)
async def create_chat_completion(request: Request, body: ChatBody) -> Response:
    """Continue a conversation; as server-sent events with `stream`."""
    call = begin(request, body, "chat")
    count = body.n or 1
    check_choices(call, "n", count)
    chat = await with_media(request, call.uid, body.request())
    here = call.services
    if body.stream:
        chat = with_call_deltas(call, chat, body.stream_options)
        frames = _frames(call, alike(chat, count), body)
        return EventStream(frames, here.drain, here.settings.sse_ping_interval, call.headers)
    work = complete_choices(here.gateway, call.uid, alike(chat, count), request_id=call.request_id)
    completions = await within(request.receive, here.drain, work)
    for choice, one in enumerate(completions):
        call.record.finish(one.reason, share(one.usage, choice), one.waited)
    answer = chat_completion(
        completions,
        request_id=call.request_id,
        model=call.uid,
        created=call.created,
        logprobs=chat.sampling.logprobs is not None,
        legacy_calls=body.legacy_calls,
    )
    return json_answer(answer, call.headers)


def _chunks(call: Call, body: ChatBody, choice: int, call_deltas: bool) -> ChatChunks:
    return ChatChunks(
        request_id=call.request_id,
        model=call.uid,
        created=call.created,
        include_usage=body.include_usage,
        index=choice,
        call_deltas=call_deltas,
        legacy_calls=body.legacy_calls,
    )


@asynccontextmanager
async def _frames(
    call: Call, requests: list[ChatRequest], body: ChatBody
) -> AsyncIterator[AsyncIterator[bytes]]:
    here = call.services
    chunks = [_chunks(call, body, choice, one.call_deltas) for choice, one in enumerate(requests)]
    opening = b"".join(one.begin() for one in chunks)
    total = Usage()

    def close(choice: int, end: Finished, last: bool) -> bytes:
        nonlocal total
        total = add_usage(total, end.usage)
        if last:
            return chunks[choice].close(end.reason, total) + DONE
        return chunks[choice].finish(end.reason, None)

    opened = open_choices(here.gateway, call.uid, requests, request_id=call.request_id)
    async with opened as choices:
        source = choices_frames(choices, chunks, call.record, opening=opening, close=close)
        async with aclosing(source) as frames:
            yield frames
