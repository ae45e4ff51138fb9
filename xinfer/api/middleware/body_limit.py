"""The largest body accepted, and the most that all of them may be together: by Content-Length at
once, else while a body is read."""

from __future__ import annotations

from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xinfer.api.errors import error_response, note_error
from xinfer.errors import PayloadTooLarge, Unavailable, XinferError

SMALL = 256 << 10
"""Bytes of a body that are not counted, so that small ones get through however many large ones are
held; their number is bounded where requests are admitted."""


class BodyLimit:
    """Answers 413 to a body that is too large, and 503 to one for which there is no room beside
    those whose requests are not answered yet; what is left of it is never kept.

    Args:
        limit: bytes of one body.
        limit_form: of one that is a form with files.
        limit_held: bytes of all of them beyond `SMALL` of each. One alone may be larger.
    """

    def __init__(self, app: ASGIApp, limit: int, limit_form: int, limit_held: int) -> None:
        self._app = app
        self._limit = _Limit(limit, "XINFERENCE_MAX_JSON_BYTES")
        self._limit_form = _Limit(limit_form, "XINFERENCE_MAX_FORM_BYTES")
        self._limit_held = limit_held
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced, form = _announced(scope)
        limit = self._limit_form if form else self._limit
        error = self._refusal(announced, limit, held=0)
        if error is not None:
            note_error(scope, error)
            await error_response(error, scope)(scope, receive, send)
            return
        taken = held = 0

        async def receive_within_limits() -> Message:
            nonlocal taken, held
            message = await receive()
            taken += len(message.get("body", b""))
            error = self._refusal(taken, limit, held)
            if error is not None:
                raise error
            more = max(0, taken - SMALL) - held
            held += more
            self._held += more
            return message

        try:
            await self._app(scope, receive_within_limits, send)
        finally:
            self._held -= held

    def _refusal(self, size: int, limit: _Limit, held: int) -> XinferError | None:
        """Why a body that has this many bytes by now is not taken, of which `held` are counted."""
        if size > limit.size:
            return PayloadTooLarge(
                f"The body is larger than {limit.size} bytes. An administrator can raise "
                f"{limit.setting}."
            )
        others = self._held - held
        if others and size > SMALL and others + size - SMALL > self._limit_held:
            return Unavailable(
                f"The server holds {_mib(others)} of other requests, and with {_mib(size)} of this "
                f"one it would be more than the {_mib(self._limit_held)} that it takes. Try again "
                "shortly, or send less at once. An administrator can raise "
                "XINFERENCE_MAX_HELD_BYTES.",
                retry_after=1.0,
            )
        return None


class _Limit(NamedTuple):
    """Bytes, and where they are set."""

    size: int
    setting: str


def _announced(scope: Scope) -> tuple[int, bool]:
    """The body's bytes as its client says, and whether it is a form with files: by the same of
    several headers that routes go by."""
    headers = Headers(scope=scope)
    size = headers.get("content-length", "")
    form = headers.get("content-type", "").lower().startswith("multipart/form-data")
    return int(size[:20]) if size.isascii() and size.isdigit() else 0, form


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"
