"""What the routes share whose models make vectors or scores."""

from __future__ import annotations

from fastapi import Request

from xinfer.api.lifetime import within
from xinfer.api.routes.generation import Call, begin_call
from xinfer.api.schemas.encode import EncodeBody
from xinfer.api.services import services
from xinfer.core.gateway import Encoding
from xinfer.errors import InvalidRequest, Unavailable
from xinfer.types.model import EncodeAbilities
from xinfer.types.request import EncodeRequest

TRUNCATED_HEADER = "X-Truncated-Inputs"
"""How many of the request's texts were cut short."""


def begin_encoding(request: Request, body: EncodeBody, operation: str, kind: str) -> Call:
    """Check what can be checked here, and settle the request's id.

    Args:
        kind: the type of model that this route needs.

    Raises:
        NotFound: there is no such model.
        InvalidRequest: it is of another type, or a parameter is not supported.
    """
    require_type(request, body.model, kind)
    return begin_call(request, body, operation)


def require_type(request: Request, uid: str, kind: str) -> None:
    """Check the type of a model.

    Raises:
        NotFound: there is none of this uid.
        InvalidRequest: it is of another type; names `model`.
    """
    found = services(request).table.status(uid).deployment.model.type
    if found != kind:
        raise InvalidRequest(
            f"`model`: {uid!r} is of type {found}; this route needs a model of type {kind}.",
            param="model",
        )


async def encode(request: Request, call: Call, work: EncodeRequest, field: str) -> Encoding:
    """Have it computed, and take note of what it came to.

    Args:
        field: the one of the body that has the texts, for errors.

    Raises:
        XinferError: the model refused it or failed, or the client has gone.
    """
    here = call.services
    answer = here.gateway.encode(call.uid, work, request_id=call.request_id)
    try:
        encoding = await within(request.receive, here.drain, answer)
    except InvalidRequest as error:
        error.param = error.param or field
        raise
    call.record.finish("stop", encoding.usage, encoding.waited)
    call.record.inputs = len(work.texts)
    if encoding.truncated:
        call.record.truncated = len(encoding.truncated)
        call.headers[TRUNCATED_HEADER] = str(len(encoding.truncated))
    return encoding


def abilities(call: Call) -> EncodeAbilities:
    """What the model's engine said of itself.

    Raises:
        Unavailable: the model has just stopped serving.
    """
    loaded = call.services.table.status(call.uid).loaded
    if loaded is None or loaded.abilities.encode is None:
        raise Unavailable(f"Model {call.uid!r} has just stopped serving.", retry_after=1.0)
    return loaded.abilities.encode


def to_activate(call: Call, asked: bool | None) -> bool:
    """Whether scores have to be made numbers from 0 to 1."""
    return asked is not False and not abilities(call).probabilities
