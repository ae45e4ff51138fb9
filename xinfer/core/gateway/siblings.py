"""What requests with one prompt know of each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Siblings:
    """Requests with one prompt. The first one goes ahead and computes it."""

    def __init__(self) -> None:
        self.computed = asyncio.Event()
        """Set once the first one's prompt has been computed."""
        self.replica_id: str | None = None
        """The replica that the first one is on."""

    @property
    def on_computed(self) -> Callable[[], None] | None:
        """What to call then; None for those that come after."""
        return None if self.computed.is_set() else self.computed.set

    def begun(self, replica_id: str) -> None:
        """One of them has been taken by a replica."""
        if not self.computed.is_set():
            self.replica_id = replica_id
