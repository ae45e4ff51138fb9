"""How a request's body becomes a typed one: content type, strict JSON, then pydantic.

FastAPI would parse with the standard library on the event loop; routes of these classes parse here
instead, and what /docs shows of the body is what is enforced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.types import Receive, Scope, Send

from xinfer.api import strict_json
from xinfer.api.services import services
from xinfer.errors import InvalidRequest

PARSE_ON_THREAD = 256 << 10
"""Bytes from which a body is parsed on a thread."""

JSON = "JSON as `application/json`"

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class JsonRoute(APIRoute):
    """A route whose body, if it takes one, is strict JSON."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler
        required = self.body_field.field_info.is_required()

        async def handle(request: Request) -> Response:
            _refuse_form(request, JSON)
            raw = await request.body()
            if not raw and not required:
                return await handler(request)
            return await handler(_ParsedRequest(request, raw, await _parsed(request, raw)))

        return handle


class InferenceRoute(APIRoute):
    """A route whose endpoint takes the request and its body, and gives a response.

    It is called without FastAPI's solving of dependencies, which takes more time than all else
    that is done here for a request; there is nothing to solve.
    """

    expected = JSON
    """What a body should be, as a refusal puts it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        assert self.body_field is not None
        self._field = self.body_field
        self.app = self._answer

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        value = await self.parse(request)
        body, errors = self._field.validate(value, loc=("body",))
        if errors:
            raise RequestValidationError(errors, body=value)
        del value  # which may be large, and is in the body as far as it is wanted
        response: Response = await self.endpoint(request, body)
        await response(scope, receive, send)

    async def parse(self, request: Request) -> Any:
        """The body as plain values.

        Raises:
            XinferError: it cannot be read.
        """
        _refuse_form(request, self.expected)
        return await _parsed(request, await _read(request), self.expected)


async def _read(request: Request) -> bytes:
    """The body; unlike `request.body()`, it is not kept for as long as the request is answered."""
    return b"".join([part async for part in request.stream()])


class _ParsedRequest(Request):
    """A request whose body has been read and parsed."""

    def __init__(self, request: Request, raw: bytes, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._raw = raw
        self._value = value

    async def body(self) -> bytes:
        return self._raw

    async def json(self) -> Any:
        return self._value


def _refuse_form(request: Request, expected: str) -> None:
    """Of a form more bytes may come than of JSON: one that is not wanted is not read.

    Raises:
        InvalidRequest: the body is one.
    """
    content_type = request.headers.get("content-type", "")
    if content_type.lower().startswith("multipart/"):
        raise _wrong_kind(content_type, expected)


def _wrong_kind(content_type: str, expected: str) -> InvalidRequest:
    return InvalidRequest(
        f"Content-Type is {content_type[:100]!r}. Send {expected}.", code="invalid_content_type"
    )


async def _parsed(request: Request, raw: bytes, expected: str = JSON) -> Any:
    if not raw:
        raise InvalidRequest(f"The request has no body. Send {expected}.", code="invalid_json")
    content_type = request.headers.get("content-type", "")
    if not _is_json(content_type):
        raise _wrong_kind(content_type, expected)
    settings = services(request).settings

    def parse() -> Any:
        return strict_json.parse(
            raw,
            max_depth=settings.max_json_depth,
            max_values=settings.max_json_values,
            max_texts=settings.max_json_texts,
        )

    return await asyncio.to_thread(parse) if len(raw) > PARSE_ON_THREAD else parse()


def _is_json(content_type: str) -> bool:
    kind, _, parameters = content_type.lower().partition(";")
    kind = kind.strip()
    json = kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
    return json and ("charset" not in parameters or "utf-8" in parameters or "utf8" in parameters)
