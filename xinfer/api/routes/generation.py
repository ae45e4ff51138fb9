"""What the inference routes share, those that generate text above all."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fastapi import Request
from fastapi.responses import Response
from msgspec.structs import replace

from xinfer.api.record import InferenceRecord
from xinfer.api.request_id import clean
from xinfer.api.schemas.audio import AudioBody
from xinfer.api.schemas.base import Body
from xinfer.api.schemas.encode import EncodeBody
from xinfer.api.schemas.images import ImageBody
from xinfer.api.schemas.sampling import GenerationBody
from xinfer.api.services import Services, services
from xinfer.core import logs
from xinfer.core.gateway import ChoiceEvents, ResponseStream, RoutingTable, share
from xinfer.errors import EngineFailed, InvalidRequest
from xinfer.types.deployment import DeploymentStatus
from xinfer.types.event import Delta, Finished, LogprobDelta, MessageDelta, TokenLogprob
from xinfer.types.request import ChatRequest

logger = logging.getLogger(__name__)

IGNORED_FIELDS_HEADER = "X-Ignored-Fields"
_MAX_NAMES = 32
_NOT_A_NAME = re.compile(r"[^A-Za-z0-9_.\[\]-]")


class Chunks(Protocol):
    """What a stream's events are made of, in the words of an API."""

    def text(self, text: str) -> bytes:
        """More of the answer."""
        ...

    def tokens(self, text: str, logprobs: tuple[TokenLogprob, ...]) -> bytes:
        """More of it, with the log-probabilities of its tokens."""
        ...

    def message(self, event: MessageDelta) -> bytes:
        """What more than text there is: thoughts and calls, and the text between them."""
        ...


@dataclass(frozen=True)
class Call:
    """One request on its way to a model."""

    services: Services
    request_id: str
    uid: str
    created: int
    record: InferenceRecord
    headers: dict[str, str]


def begin(request: Request, body: GenerationBody, ability: str) -> Call:
    """Check what can be checked here, and settle the request's id.

    Raises:
        NotFound: there is no such model.
        InvalidRequest: it is of another kind, or a parameter is not supported.
    """
    require_ability(services(request).table, body.model, ability)
    return begin_call(request, body, ability, stream=bool(body.stream))


def begin_call(
    request: Request,
    body: GenerationBody | EncodeBody | ImageBody | AudioBody,
    operation: str,
    *,
    stream: bool = False,
) -> Call:
    """Settle the request's id and begin its record; the model is there and can do this.

    Raises:
        InvalidRequest: a parameter is not supported.
    """
    here = services(request)
    body.check_supported()
    state = request.scope["state"]
    if body.request_id:
        state["request_id"] = clean(body.request_id)
        logs.request_id.set(state["request_id"])
    assert body.model is not None
    uid = here.table.resolve(body.model)
    record = InferenceRecord(uid, operation, state["arrived"], stream=stream)
    state["record"] = record
    return Call(
        services=here,
        request_id=state["request_id"],
        uid=uid,
        created=int(time.time()),
        record=record,
        headers=ignored_fields(body),
    )


def require_ability(table: RoutingTable, uid: str, ability: str) -> DeploymentStatus:
    """The deployment, if its model can do this.

    Raises:
        NotFound: there is none of this uid.
        InvalidRequest: its model is of another kind; names `model`.
    """
    status = table.status(uid)
    model = status.deployment.model
    if model.type != "LLM":
        raise InvalidRequest(
            f"`model`: {uid!r} is of type {model.type}; this route needs an LLM.", param="model"
        )
    if ability not in model.abilities:
        abilities = ", ".join(model.abilities) or "nothing it declares"
        raise InvalidRequest(
            f"`model`: {uid!r} has no ability {ability!r}; it has: {abilities}.", param="model"
        )
    return status


def check_choices(call: Call, field: str, count: int) -> None:
    """
    Raises:
        InvalidRequest: more answers to a prompt than a request may ask for, or than the model ever
            has places for; names the field.
    """
    most = call.services.settings.max_choices
    if count > most:
        raise InvalidRequest(
            f"`{field}` is {count}; this server makes at most {most} answers to a prompt in one "
            "request. Send several requests.",
            param=field,
        )
    places = call.services.table.capacity(call.uid)
    if places is not None and count > places:
        raise InvalidRequest(
            f"`{field}` is {count}; each answer takes a place of its own, and this model has "
            f"{places} for requests that run and that wait. Ask for at most as many, or give the "
            "model more with PATCH or `xinference scale`: max_queue, request_limits or replicas.",
            param=field,
        )


def ignored_fields(body: Body) -> dict[str, str]:
    """The header that names the fields which had no effect; no header when there are none."""
    return ignored_header(body.ignored_fields())


def ignored_header(names: list[str]) -> dict[str, str]:
    """The same, of names wherever they come from."""
    if not names:
        return {}
    shown = [_NOT_A_NAME.sub("_", name)[:64] for name in names[:_MAX_NAMES]]
    if len(names) > _MAX_NAMES:
        shown.append(f"and_{len(names) - _MAX_NAMES}_more")
    logger.debug("Ignored fields: %s", ", ".join(shown))
    return {IGNORED_FIELDS_HEADER: ", ".join(shown)}


def with_call_deltas(
    call: Call, chat: ChatRequest, options: Mapping[str, Any] | None
) -> ChatRequest:
    """A request for a stream, whose calls are told while they come where that is wanted.

    Args:
        options: the request's `stream_options`. Without a word in them the launch decides.
    """
    wanted = (options or {}).get("tool_call_deltas")
    if wanted is None:
        wanted = call.services.table.status(call.uid).deployment.spec.tool_call_deltas
    return replace(chat, call_deltas=bool(wanted))


async def choice_frames(
    stream: ResponseStream,
    chunks: Chunks,
    record: InferenceRecord,
    *,
    opening: bytes,
    close: Callable[[Finished], bytes],
) -> AsyncGenerator[bytes, None]:
    """One frame for each batch of events; what `close` makes of the end is in the last one."""
    if opening:
        yield opening
    async for events in stream:
        record.tick()
        frame, end = _frame(chunks, events)
        if end is not None:
            record.finish(end.reason, end.usage, stream.waited)
            yield frame + close(end)
            return
        if frame:
            yield frame
    raise cut_short()


async def choices_frames(
    choices: AsyncIterator[ChoiceEvents],
    chunks: Sequence[Chunks],
    record: InferenceRecord,
    *,
    opening: bytes,
    close: Callable[[int, Finished, bool], bytes],
) -> AsyncGenerator[bytes, None]:
    """The same for several answers to one prompt, each in the words of its own chunks. `close` gets
    the number of the choice, its end with what it adds to the usage, and whether it is the last."""
    if opening:
        yield opening
    left = len(chunks)
    async for choice, stream, events in choices:
        record.tick(choice)
        frame, end = _frame(chunks[choice], events)
        if end is not None:
            left -= 1
            end = replace(end, usage=share(end.usage, choice))
            record.finish(end.reason, end.usage, stream.waited, choice)
            frame += close(choice, end, not left)
        if frame:
            yield frame
    if left:
        raise cut_short()


def _frame(chunks: Chunks, events: Sequence[Delta | Finished]) -> tuple[bytes, Finished | None]:
    """What a batch of events is in an API's words, without its end; and the end."""
    frame = b""
    for event in events:
        if isinstance(event, MessageDelta):
            frame += chunks.message(event)
        elif isinstance(event, LogprobDelta):
            frame += chunks.tokens(event.text, event.logprobs)
        elif isinstance(event, Delta):
            frame += chunks.text(event.text)
        else:
            return frame, event
    return frame, None


def cut_short() -> EngineFailed:
    return EngineFailed("The model's answer ended before it was complete.")


def json_answer(content: bytes, headers: dict[str, str]) -> Response:
    return Response(content, media_type="application/json", headers=headers)
