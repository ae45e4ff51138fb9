"""Serves under a path, too, for proxies that pass it on."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send


class RootPath:
    """Takes the path under which a proxy serves this server off those of requests. A proxy that
    has taken it off already does no harm.

    Args:
        prefix: such as /models, with a slash before it and none behind.
    """

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._below = prefix + "/"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(self._below):
            path = "/" + scope["path"].removeprefix(self._below)
            scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)
