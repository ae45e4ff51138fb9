"""POST /v1/messages and /v1/messages/count_tokens: chat for Anthropic's clients."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from fastapi import APIRouter, Request, Response

from xinfer.api.lifetime import within
from xinfer.api.media import with_media
from xinfer.api.render.anthropic import PING, MessageEvents, message
from xinfer.api.requests import InferenceRoute
from xinfer.api.routes.generation import (
    Call,
    begin,
    choice_frames,
    ignored_fields,
    json_answer,
    require_ability,
    with_call_deltas,
)
from xinfer.api.schemas.answers import COUNT_ANSWER, MESSAGE_ANSWER
from xinfer.api.schemas.anthropic import ConversationBody, CountBody, MessagesBody
from xinfer.api.services import services
from xinfer.api.sse import EventStream
from xinfer.types.request import ChatRequest

router = APIRouter(route_class=InferenceRoute, tags=["inference"])


@router.post("/v1/messages", responses=MESSAGE_ANSWER, response_class=Response)
async def create_message(request: Request, body: MessagesBody) -> Response:
    """Answer a conversation; as server-sent events with `stream`."""
    body.check_supported()
    asked = body.chat()
    call = begin(request, asked, "chat")
    call.headers.update(_headers(body, call.request_id))
    chat = await with_media(request, call.uid, asked.request())
    here = call.services
    if body.stream:
        chat = with_call_deltas(call, chat, body.stream_options)
        events = MessageEvents(request_id=call.request_id, created=call.created, model=body.model)
        return EventStream(
            _frames(call, chat, events),
            here.drain,
            here.settings.sse_ping_interval,
            call.headers,
            ping=PING,
            failure=events.fail,
        )
    work = here.gateway.complete(call.uid, chat, request_id=call.request_id)
    completion = await within(request.receive, here.drain, work)
    call.record.finish(completion.reason, completion.usage, completion.waited)
    answer = message(completion, request_id=call.request_id, created=call.created, model=body.model)
    return json_answer(answer, call.headers)


@router.post("/v1/messages/count_tokens", responses=COUNT_ANSWER, response_class=Response)
async def count_tokens(request: Request, body: CountBody) -> Response:
    """How many tokens the prompt of a conversation has; nothing is generated."""
    here = services(request)
    require_ability(here.table, body.model, "chat")
    asked = body.chat()
    asked.check_supported()
    chat = await with_media(request, body.model, asked.request())
    work = here.gateway.count_tokens(body.model, chat)
    count = await within(request.receive, here.drain, work)
    headers = _headers(body, request.scope["state"]["request_id"])
    return json_answer(b'{"input_tokens":%d}' % count, headers)


def _headers(body: ConversationBody, request_id: str) -> dict[str, str]:
    """Ignored fields, and the request's id where Anthropic's clients look for it."""
    return {**ignored_fields(body), "request-id": request_id}


@asynccontextmanager
async def _frames(
    call: Call, chat: ChatRequest, events: MessageEvents
) -> AsyncIterator[AsyncIterator[bytes]]:
    stream = await call.services.gateway.open(call.uid, chat, request_id=call.request_id)
    async with stream:
        opening = events.begin(stream.prompt_tokens)
        source = choice_frames(stream, events, call.record, opening=opening, close=events.close)
        async with aclosing(source) as frames:
            yield frames
