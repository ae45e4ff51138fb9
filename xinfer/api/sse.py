"""Server-sent events as one raw ASGI response: a frame is one `send`, with nothing in between.

The status line goes out only once the source has been opened; until then an error is an ordinary
error response. Afterwards it is the last frame, and the stream ends without `[DONE]`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from xinfer.api.errors import client_gone, error_frame, internal_error, note_error
from xinfer.api.lifetime import Drain, cancel, disconnected, draining
from xinfer.errors import XinferError

logger = logging.getLogger(__name__)

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"

Frames = AbstractAsyncContextManager[AsyncIterator[bytes]]
"""Entering it settles the status; each item is one or more complete `data:` events."""


class EventStream(Response):
    """A response whose body is `frames`, with comments in its silences.

    `ping` is what silences are filled with, and `failure` makes the last frame of a stream that has
    begun and failed.

    The client's leaving and the drain's expiry cancel `frames` wherever it waits. A reader that
    takes nothing is the connection's to end, which looks here like a client that left.
    """

    def __init__(
        self,
        frames: Frames,
        drain: Drain,
        ping_interval: float,
        headers: dict[str, str] | None = None,
        *,
        ping: bytes = PING,
        failure: Callable[[XinferError], bytes] = error_frame,
    ) -> None:
        self.status_code = 200
        self.background: BackgroundTask | None = None
        self.init_headers(
            {
                "content-type": "text/event-stream; charset=utf-8",
                "cache-control": "no-cache",
                "x-accel-buffering": "no",
                **(headers or {}),
            }
        )
        self._frames = frames
        self._drain = drain
        self._ping_interval = ping_interval
        self._ping = ping
        self._failure = failure
        self._started = False
        self._sending = False
        self._last = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pump = asyncio.create_task(self._pump(send))
        gone = asyncio.create_task(disconnected(receive))
        try:
            await self._watch(pump, gone, send)
            if pump.done():
                pump.result()
                return
            await cancel(pump)
            raise client_gone() if gone.done() else draining()
        except Exception as error:
            if not self._started:
                raise
            await self._end(scope, send, error)
        finally:
            await cancel(pump, gone)

    async def _pump(self, send: Send) -> None:
        """Send the status line and every frame; the only task that does so."""
        clock = asyncio.get_running_loop().time
        async with self._frames as frames:
            self._started = True
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for frame in frames:
                self._sending = True
                await send({"type": "http.response.body", "body": frame, "more_body": True})
                self._sending = False
                self._last = clock()
        self._sending = True  # until the task ends: nothing may follow the last one
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _watch(self, pump: asyncio.Task[None], gone: asyncio.Task[None], send: Send) -> None:
        """Return at the pump's end, the client's leaving or the drain's expiry; ping meanwhile."""
        clock = asyncio.get_running_loop().time
        self._last = clock()
        while True:
            silence = clock() - self._last
            if silence >= self._ping_interval:
                if self._started and not self._sending:
                    await send(
                        {"type": "http.response.body", "body": self._ping, "more_body": True}
                    )
                self._last = clock()
                silence = 0.0
            done, _ = await asyncio.wait(
                (pump, gone, self._drain.expired),
                timeout=self._ping_interval - silence,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if done:
                return

    async def _end(self, scope: Scope, send: Send, error: Exception) -> None:
        """Close a stream that has begun with the frame that says why."""
        if not isinstance(error, XinferError):
            logger.error("A stream failed", exc_info=error)
            error = internal_error(scope["state"]["request_id"])
        note_error(scope, error)
        await send({"type": "http.response.body", "body": self._failure(error), "more_body": False})
