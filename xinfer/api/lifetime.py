"""How long a request may run: until it is done, its client leaves, or the server has drained."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from xinfer.api.errors import client_gone
from xinfer.errors import Unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Drain:
    """The process's way out: new work is refused, what runs may finish, then it is ended."""

    def __init__(self) -> None:
        self.begun = False
        self.active = 0
        """Requests being answered now."""
        self._expired: asyncio.Future[None] | None = None
        self._idle: asyncio.Future[None] | None = None

    @property
    def expired(self) -> asyncio.Future[None]:
        """Done when what still runs must end; of the event loop that asks first."""
        if self._expired is None:
            self._expired = asyncio.get_running_loop().create_future()
        return self._expired

    def enter(self) -> None:
        self.active += 1

    def leave(self) -> None:
        self.active -= 1
        if self._idle is not None and self.active == 0 and not self._idle.done():
            self._idle.set_result(None)

    async def run(self, timeout: float, grace: float) -> None:
        """Refuse new work, wait for what runs, end it after `timeout` seconds.

        Returns when nothing runs, or `grace` seconds after the ending.
        """
        self.begun = True
        if await self._becomes_idle(timeout):
            return
        self.expired.set_result(None)
        await self._becomes_idle(grace)

    async def _becomes_idle(self, timeout: float) -> bool:
        if self.active == 0:
            return True
        self._idle = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait((self._idle,), timeout=timeout)
        return bool(done)


def draining() -> Unavailable:
    """The refusal of new work, and the end of old."""
    return Unavailable(
        "The server is shutting down. Try again when it is back.", code="draining", retry_after=5.0
    )


async def disconnected(receive: Receive) -> None:
    """Return when the client has closed the connection; the body has been read before."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """Cancel those tasks of the caller's own that still run, and wait for their end."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    if running:
        await asyncio.wait(running)
    for task in running:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("A request that was cancelled ended with an error", exc_info=error)


async def within(receive: Receive, drain: Drain, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client leaves or the drain expires.

    Raises:
        Cancelled: the client has gone.
        Unavailable: the drain expired.
    """
    # Whole answers all come by here. `work` runs in this task, and what ends it early cancels this
    # task: a task of its own and a wait for the first to end would cost three times as much.
    this = asyncio.current_task()
    assert this is not None
    gone = asyncio.create_task(disconnected(receive))

    def end(_: asyncio.Future[None]) -> None:
        this.cancel()

    gone.add_done_callback(end)
    drain.expired.add_done_callback(end)
    try:
        return await work
    except asyncio.CancelledError:
        if not (gone.done() or drain.expired.done()):
            raise
        if sys.version_info >= (3, 11):
            this.uncancel()
        raise (client_gone() if gone.done() else draining()) from None
    finally:
        gone.remove_done_callback(end)
        drain.expired.remove_done_callback(end)
        gone.cancel()  # it waits for nothing else, and so ends in the loop's next turn
