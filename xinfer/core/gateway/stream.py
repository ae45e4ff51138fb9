"""A request's answer as it comes: moved to another replica while nothing was delivered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from xinfer.errors import XinferError
from xinfer.types.event import Delta, Failed, Finished, Started

if TYPE_CHECKING:
    from types import TracebackType

    from xinfer.core.gateway.replica_link import Attempt

Restart = Callable[[XinferError], Awaitable["tuple[Attempt, Started]"]]
"""Given why the attempt ended, another one; or that error raised again."""


class ResponseStream:
    """Batches of what has come since the last one. Leaving `async with` cancels what runs."""

    def __init__(self, attempt: Attempt, started: Started, restart: Restart) -> None:
        self.prompt_tokens = started.prompt_tokens
        self.waited = started.waited
        """Seconds in the waiting room of the replica that has it."""
        self._attempt = attempt
        self._restart = restart
        self._delivered = False
        self._finished = False
        self._owed = 0
        self._error: XinferError | None = None

    async def __aenter__(self) -> ResponseStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._attempt.cancel()

    def __aiter__(self) -> ResponseStream:
        return self

    async def __anext__(self) -> list[Delta | Finished]:
        """All that has come, at least one item; the last one is a `Finished`.

        Raises:
            XinferError: the request failed; what came before it has been given.
        """
        if self._error is not None:
            raise self._error
        if self._finished:
            raise StopAsyncIteration
        if self._owed:
            self._attempt.credit(self._owed)
            self._owed = 0
        while True:
            try:
                batch = await self._next_batch()
            except XinferError as error:
                if self._delivered or not error.recoverable:
                    raise
                self._attempt, started = await self._restart(error)
                self.waited = started.waited
                continue
            if batch:
                self._delivered = True
                return batch

    async def _next_batch(self) -> list[Delta | Finished]:
        batch: list[Delta | Finished] = []
        for event in await self._attempt.take():
            if isinstance(event, Delta):
                self._owed += 1
                batch.append(event)
            elif isinstance(event, Finished):
                self._finished = True
                batch.append(event)
            elif isinstance(event, Failed):
                error = event.failure.error()
                if not batch:
                    raise error
                self._error = error
        return batch
