"""POST /v1/chat/completions."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from fastapi import APIRouter, Request, Response

from xinfer.api.lifetime import within
from xinfer.api.media import with_media
from xinfer.api.render.text import ChatChunks, chat_completion
from xinfer.api.requests import InferenceRoute
from xinfer.api.routes.generation import Call, begin, choice_frames, json_answer
from xinfer.api.schemas.answers import CHAT_ANSWER
from xinfer.api.schemas.chat import ChatBody
from xinfer.api.sse import DONE, EventStream
from xinfer.types.event import Finished
from xinfer.types.request import ChatRequest

router = APIRouter(route_class=InferenceRoute, tags=["inference"])


@router.post("/v1/chat/completions", responses=CHAT_ANSWER, response_class=Response)
async def create_chat_completion(request: Request, body: ChatBody) -> Response:
    """Continue a conversation; as server-sent events with `stream`."""
    call = begin(request, body, "chat")
    chat = await with_media(request, call.uid, body.request())
    here = call.services
    if body.stream:
        frames = _frames(call, chat, _chunks(call, body))
        return EventStream(frames, here.drain, here.settings.sse_ping_interval, call.headers)
    work = here.gateway.complete(call.uid, chat, request_id=call.request_id)
    completion = await within(request.receive, here.drain, work)
    call.record.finish(completion.reason, completion.usage, completion.waited)
    answer = chat_completion(
        completion,
        request_id=call.request_id,
        model=call.uid,
        created=call.created,
        logprobs=chat.sampling.logprobs is not None,
        legacy_calls=body.legacy_calls,
    )
    return json_answer(answer, call.headers)


def _chunks(call: Call, body: ChatBody) -> ChatChunks:
    options = body.stream_options or {}
    deltas = options.get("tool_call_deltas")
    if deltas is None:
        deltas = call.services.table.status(call.uid).deployment.spec.tool_call_deltas
    return ChatChunks(
        request_id=call.request_id,
        model=call.uid,
        created=call.created,
        include_usage=body.include_usage,
        call_deltas=deltas,
        legacy_calls=body.legacy_calls,
    )


@asynccontextmanager
async def _frames(
    call: Call, chat: ChatRequest, chunks: ChatChunks
) -> AsyncIterator[AsyncIterator[bytes]]:
    here = call.services

    def close(end: Finished) -> bytes:
        return chunks.close(end.reason, end.usage) + DONE

    stream = await here.gateway.open(call.uid, chat, request_id=call.request_id)
    async with stream:
        source = choice_frames(stream, chunks, call.record, opening=chunks.begin(), close=close)
        async with aclosing(source) as frames:
            yield frames
