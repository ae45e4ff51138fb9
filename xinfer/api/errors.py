"""The error taxonomy as HTTP: the one table of status codes and types, and the two bodies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Scope

from xinfer.errors import (
    Cancelled,
    Conflict,
    DeadlineExceeded,
    EngineFailed,
    Forbidden,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    RateLimited,
    ReplicaLost,
    Unauthenticated,
    Unavailable,
    XinferError,
)

HTTP: dict[type[XinferError], tuple[int, str]] = {
    InvalidRequest: (400, "invalid_request_error"),
    Unauthenticated: (401, "authentication_error"),
    Forbidden: (403, "permission_error"),
    NotFound: (404, "not_found_error"),
    Conflict: (409, "conflict_error"),
    PayloadTooLarge: (413, "invalid_request_error"),
    RateLimited: (429, "rate_limit_error"),
    Cancelled: (499, "cancelled"),
    EngineFailed: (500, "engine_error"),
    ReplicaLost: (502, "replica_lost"),
    Unavailable: (503, "unavailable"),
    DeadlineExceeded: (504, "timeout"),
}
"""Status code and `error.type` of each error."""

ANTHROPIC = {
    InvalidRequest: "invalid_request_error",
    Unauthenticated: "authentication_error",
    Forbidden: "permission_error",
    NotFound: "not_found_error",
    PayloadTooLarge: "request_too_large",
    RateLimited: "rate_limit_error",
    Unavailable: "overloaded_error",
    DeadlineExceeded: "timeout_error",
}
"""`error.type` on Anthropic's routes; `api_error` is that of all others."""
ANTHROPIC_PATHS = "/v1/messages"
_OVERLOADED = 529
"""Anthropic's status for a server that is full; its clients know it."""

RETRYABLE = (RateLimited, ReplicaLost, Unavailable)
"""Errors whose answer says when to try again, also where the raiser named no time."""


_MAX_COMPLAINTS = 32
_MAX_MESSAGE = 400


def error_body(error: XinferError) -> dict[str, Any]:
    """The body of every error: `error` for OpenAI's clients, `detail` for Xinference's.

    The error's details stand beside `message` in `error`.
    """
    return {
        "error": {
            **error.details,
            "message": error.message,
            "type": HTTP[type(error)][1],
            "param": error.param,
            "code": error.code,
        },
        "detail": error.message,
    }


def anthropic_body(error: XinferError, request_id: str) -> dict[str, Any]:
    """The body of errors for Anthropic's clients, with what else is known beside `message`."""
    return {
        "type": "error",
        "error": {
            **error.details,
            "type": ANTHROPIC.get(type(error), "api_error"),
            "message": error.message,
            "param": error.param,
            "code": error.code,
        },
        "request_id": request_id,
    }


def error_frame(error: XinferError) -> bytes:
    """The last event of a stream that failed."""
    return b"data: " + msgspec.json.encode(error_body(error)) + b"\n\n"


def error_response(error: XinferError, scope: Scope) -> Response:
    """The complete answer for an error, in the words of the route's clients."""
    headers = {}
    if isinstance(error, RETRYABLE):
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after or 0)))
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    status = HTTP[type(error)][0]
    if is_anthropic(scope):
        body = anthropic_body(error, scope["state"]["request_id"])
        if isinstance(error, Unavailable) and error.code == "overloaded":
            status = _OVERLOADED
    else:
        body = error_body(error)
    return Response(
        msgspec.json.encode(body),
        status_code=status,
        headers=headers,
        media_type="application/json",
    )


def is_anthropic(scope: Scope) -> bool:
    """Whether a request is to one of Anthropic's routes."""
    path: str = scope["path"]
    return path == ANTHROPIC_PATHS or path.startswith(f"{ANTHROPIC_PATHS}/")


def internal_error(request_id: str) -> EngineFailed:
    """What a caller hears of a defect of ours; the log has the rest under the same id."""
    return EngineFailed(
        "The server failed on this request for a reason of its own. "
        f"Its log says more under request id {request_id}.",
        code="internal_error",
    )


def client_gone() -> Cancelled:
    """The client closed its connection; nobody reads this but the log and the metrics."""
    return Cancelled("The client closed the connection.", code="client_closed_request")


def validation_error(error: RequestValidationError) -> InvalidRequest:
    """One of pydantic's complaints in words, with the dotted path of its field.

    Where a value fits no branch of a union there are several; the deepest knows most.
    """
    path: list[str] = []
    message = ""
    for complaint in error.errors()[:_MAX_COMPLAINTS]:
        where = _field_path(complaint["loc"][1:], error.body, complaint["type"] == "missing")
        if not message or len(where) > len(path):
            path, message = where, complaint["msg"]
    message = message.removeprefix("Value error, ").rstrip(".")[:_MAX_MESSAGE]
    param = ".".join(path)
    subject = f"`{param}`" if param else "The body"
    return InvalidRequest(f"{subject}: {message[0].lower()}{message[1:]}.", param=param or None)


def _field_path(parts: Sequence[str | int], body: Any, missing: bool) -> list[str]:
    """`parts` without the names of union branches, which pydantic mixes in: what is no key of
    the body is such a name, but for the first part and the last one of a missing field."""
    path: list[str] = []
    value = body
    for position, part in enumerate(parts):
        try:
            value = value[part]
        except (LookupError, TypeError):
            last = position == len(parts) - 1
            if position > 0 and not (missing and last):
                continue
        path.append(str(part))
    return path


async def _on_xinfer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, XinferError)
    note_error(request.scope, error)
    return error_response(error, request.scope)


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return await _on_xinfer_error(request, validation_error(error))


async def _on_disconnect(request: Request, error: Exception) -> Response:
    return await _on_xinfer_error(request, client_gone())


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """The framework's own: no such route, or not with this method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        missing = NotFound(
            f"There is no route {request.method} {request.url.path[:200]}. "
            "/docs and /openapi.json list those there are.",
            code="route_not_found",
        )
        return await _on_xinfer_error(request, missing)
    refused = InvalidRequest(
        f"{request.method} {request.url.path[:200]}: {error.detail}.", code="method_not_allowed"
    )
    note_error(request.scope, refused)
    response = error_response(refused, request.scope)
    response.status_code = error.status_code
    response.headers.update(error.headers or {})
    return response


def note_error(scope: Any, error: XinferError) -> None:
    """Remember the error for the request's log line and metrics."""
    scope["state"]["error"] = error


def install(app: FastAPI) -> None:
    """Answer every error of the application in the common body."""
    app.add_exception_handler(XinferError, _on_xinfer_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
