"""Refuses requests without a key before any route sees them."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from xinfer.api.auth.keys import Keys, presented
from xinfer.api.auth.policy import Policy
from xinfer.api.errors import error_response, note_error
from xinfer.errors import Unauthenticated


class RequireKey:
    """Puts `authenticated` in the request's state."""

    def __init__(self, app: ASGIApp, keys: Keys, policy: Policy) -> None:
        self._app = app
        self._keys = keys
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            keys = presented(scope["headers"]) if self._keys.required else []
            known = not self._keys.required or any(map(self._keys.knows, keys))
            scope["state"]["authenticated"] = known
            if not known and not self._policy.is_public(scope["path"]):
                error = Unauthenticated(
                    "This server does not know that key."
                    if keys
                    else "This server needs an API key. Send it as `Authorization: Bearer KEY` "
                    "or as `x-api-key: KEY`."
                )
                note_error(scope, error)
                await error_response(error, scope)(scope, receive, send)
                return
        await self._app(scope, receive, send)
