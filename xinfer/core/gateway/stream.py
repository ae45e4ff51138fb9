"""A request's answer as it comes: begun anew elsewhere, or continued, when its replica is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from xinfer.errors import XinferError
from xinfer.types.event import Delta, Failed, Finished, Started

if TYPE_CHECKING:
    from types import TracebackType

    from xinfer.core.gateway.replica_link import Attempt

Restart = Callable[[XinferError, Sequence[int]], Awaitable["tuple[Attempt, Started]"]]
"""Given why the attempt ended and the tokens that were delivered, another attempt, which goes on
behind them; or that error raised again."""


class ResponseStream:
    """Batches of what has come since the last one. Leaving `async with` cancels what runs.

    Args:
        resumable: whether the answer can go on elsewhere once some of it was delivered.
    """

    def __init__(
        self, attempt: Attempt, started: Started, restart: Restart, *, resumable: bool
    ) -> None:
        self.prompt_tokens = started.prompt_tokens
        self.waited = started.waited
        """Seconds in the waiting room of the replica that has it."""
        self._attempt = attempt
        self._restart = restart
        self._resumable = resumable
        self._delivered = False
        self._ids: list[int] = []
        """Of the output, those whose text was delivered; kept where it can go on elsewhere."""
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
        if self._finished:
            raise StopAsyncIteration
        if self._owed:
            self._attempt.credit(self._owed)
            self._owed = 0
        while True:
            try:
                batch = await self._next_batch()
            except XinferError as error:
                if not error.recoverable or (self._delivered and not self._ids):
                    self._error = error
                    raise
                self._attempt, started = await self._restart(error, self._ids)
                self.waited = started.waited
                continue
            if batch:
                self._delivered = True
                return batch

    async def _next_batch(self) -> list[Delta | Finished]:
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        batch: list[Delta | Finished] = []
        for event in await self._attempt.take():
            if isinstance(event, Delta):
                self._owed += event.cost
                if self._resumable:
                    self._ids += event.ids
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
