"""The largest body accepted: by its Content-Length at once, else while it is read."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xinfer.api.errors import error_response, note_error
from xinfer.errors import PayloadTooLarge


class BodyLimit:
    """Answers 413; the rest of a body that is too large is never kept."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value[:20]) > self._limit:
                error = self._error()
                note_error(scope, error)
                await error_response(error, scope)(scope, receive, send)
                return
        taken = 0

        async def receive_within_limit() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._limit:
                raise self._error()
            return message

        await self._app(scope, receive_within_limit, send)

    def _error(self) -> PayloadTooLarge:
        return PayloadTooLarge(
            f"The body is larger than {self._limit} bytes. "
            "An administrator can raise XINFERENCE_MAX_JSON_BYTES."
        )
