"""POST /v1/responses, of which nothing is kept."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from fastapi import APIRouter, Request, Response

from xinfer.api.lifetime import within
from xinfer.api.media import with_media
from xinfer.api.render.responses import ResponseEvents, response
from xinfer.api.requests import InferenceRoute
from xinfer.api.routes.generation import (
    Call,
    begin,
    choice_frames,
    ignored_fields,
    json_answer,
    with_call_deltas,
)
from xinfer.api.schemas.answers import RESPONSE_ANSWER
from xinfer.api.schemas.responses import ResponsesBody
from xinfer.api.sse import EventStream
from xinfer.types.request import ChatRequest

router = APIRouter(route_class=InferenceRoute, tags=["inference"])


@router.post("/v1/responses", responses=RESPONSE_ANSWER, response_class=Response)
async def create_response(request: Request, body: ResponsesBody) -> Response:
    """Answer a conversation in items; as server-sent events with `stream`."""
    body.check_supported()
    asked = body.chat()
    call = begin(request, asked, "chat")
    call.headers.update(ignored_fields(body))
    chat = await with_media(request, call.uid, asked.request())
    here = call.services
    if body.stream:
        chat = with_call_deltas(call, chat, body.stream_options)
        events = ResponseEvents(request_id=call.request_id, created=call.created, body=body)
        return EventStream(
            _frames(call, chat, events),
            here.drain,
            here.settings.sse_ping_interval,
            call.headers,
            failure=events.fail,
        )
    work = here.gateway.complete(call.uid, chat, request_id=call.request_id)
    completion = await within(request.receive, here.drain, work)
    call.record.finish(completion.reason, completion.usage, completion.waited)
    answer = response(completion, request_id=call.request_id, created=call.created, body=body)
    return json_answer(answer, call.headers)


@asynccontextmanager
async def _frames(
    call: Call, chat: ChatRequest, events: ResponseEvents
) -> AsyncIterator[AsyncIterator[bytes]]:
    stream = await call.services.gateway.open(call.uid, chat, request_id=call.request_id)
    async with stream:
        opening = events.begin()
        source = choice_frames(stream, events, call.record, opening=opening, close=events.close)
        async with aclosing(source) as frames:
            yield frames
