"""Hands events from threads over to the event loop, waking it once for many."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Any thread puts; one coroutine, on the loop that made the mailbox, iterates."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._items: list[T] = []
        self._filled = asyncio.Event()
        self._closed = False

    def put(self, item: T) -> None:
        """Add an item; dropped once the mailbox is closed."""
        self.put_all([item])

    def put_all(self, items: Sequence[T]) -> None:
        """Add what belongs together; it comes out together."""
        with self._lock:
            if self._closed or not items:
                return
            wake = not self._items
            self._items += items
        if wake:
            self._wake()

    def close(self) -> None:
        """End the iteration, after what has been put before. From any thread."""
        with self._lock:
            self._closed = True
        self._wake()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._filled.set)
        except RuntimeError:  # the loop is closed, and nobody iterates any more
            return

    async def batches(self) -> AsyncIterator[list[T]]:
        """Everything that has gathered, each time there is something."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            with self._lock:
                items, self._items = self._items, []
                closed = self._closed
            if items:
                yield items
            if closed:
                return
