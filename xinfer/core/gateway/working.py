"""What is made of a request that an engine works on in steps: as it comes, or all of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Generic, NoReturn, Protocol, TypeVar

import msgspec

from xinfer.errors import XinferError
from xinfer.types.event import Failed, Finished, Made, Started, Usage
from xinfer.types.product import Advance, Picture, Preview, Product

if TYPE_CHECKING:
    from types import TracebackType

    from xinfer.core.gateway.replica_link import Attempt

Restart = Callable[[XinferError], Awaitable["tuple[Attempt, Started]"]]
"""Given why the attempt ended, another one; or that error raised again."""


class Keeper(Protocol):
    """Keeps what is made, in memory or elsewhere. There is a new one for each attempt; nothing
    more is asked of that of an attempt which failed."""

    async def keep(self, product: Product) -> None:
        """The next product, whole; how far the work has come is left out. As long as this takes,
        nothing more is sent by the replica than a request has credit for."""
        ...


K = TypeVar("K", bound=Keeper)


class InMemory:
    """Keeps what is small."""

    def __init__(self) -> None:
        self.products: list[Product] = []
        """In the order that they were made."""

    async def keep(self, product: Product) -> None:
        self.products.append(product)


class Work(msgspec.Struct, Generic[K], frozen=True):
    """All that was made of a request."""

    keeper: K
    """Has it."""
    usage: Usage
    waited: float = 0.0
    """Seconds in the waiting room."""


class WorkStream:
    """Batches of what has come since the last one. Leaving `async with` cancels what runs."""

    def __init__(self, attempt: Attempt, started: Started, restart: Restart) -> None:
        self.waited = started.waited
        """Seconds in the waiting room of the replica that has it."""
        self._attempt = attempt
        self._restart = restart
        self._part = bytearray()
        """What has come of a file that is not whole yet."""
        self._delivered = False
        self._end: Finished | XinferError | None = None
        self._owed = 0

    async def __aenter__(self) -> WorkStream:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._attempt.cancel()

    def __aiter__(self) -> WorkStream:
        return self

    async def __anext__(self) -> list[Product | Finished]:
        """All that has come, at least one item, each file whole; the last one is a `Finished`.

        Raises:
            XinferError: the request failed; what came before it has been given.
        """
        while True:
            if isinstance(self._end, Finished):
                raise StopAsyncIteration
            try:
                if self._end is not None:
                    raise self._end
                if self._owed:
                    self._attempt.credit(self._owed)
                    self._owed = 0
                batch = await self._next_batch()
            except XinferError as error:
                if self._delivered or not error.recoverable:
                    raise
                self._attempt.cancel()
                self._end, self._part, self._owed = None, bytearray(), 0
                self._attempt, started = await self._restart(error)
                self.waited = started.waited
                continue
            if batch:
                self._delivered = self._delivered or not all(
                    isinstance(one, Advance) for one in batch
                )
                return batch

    async def _next_batch(self) -> list[Product | Finished]:
        batch: list[Product | Finished] = []
        for event in await self._attempt.take():
            if isinstance(event, Made):
                whole = self._taken(event.product)
                if whole is not None:
                    batch.append(whole)
            elif isinstance(event, Finished):
                self._end = event
                batch.append(event)
            elif isinstance(event, Failed):
                self._end = event.failure.error()
        return batch

    def _taken(self, product: Product) -> Product | None:
        """The product, unless it is a file of which more is to come."""
        if isinstance(product, Advance):
            return product
        self._owed += 1
        if not isinstance(product, Picture | Preview):
            return product
        self._part += product.data
        if product.more:
            return None
        data, self._part = bytes(self._part), bytearray()
        return msgspec.structs.replace(product, data=data)


async def _raise(error: XinferError) -> NoReturn:
    raise error


async def keep_work(attempt: Attempt, started: Started, keeper: K) -> Work[K]:
    """All that comes of an attempt, with the keeper.

    Raises:
        XinferError: it failed.
    """
    async for batch in WorkStream(attempt, started, _raise):
        for one in batch:
            if isinstance(one, Finished):
                return Work(keeper, one.usage, started.waited)
            if not isinstance(one, Advance):
                await keeper.keep(one)
    raise AssertionError("a stream ended without its end")
