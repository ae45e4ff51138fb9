"""Launches that are not committed yet, by uid, so that they can be cancelled."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from xinfer.errors import Cancelled, Conflict

T = TypeVar("T")


class Launch:
    """One of them."""

    def __init__(self, uid: str, aliases: Sequence[str]) -> None:
        self.names = (uid, *aliases)
        self._uid = uid
        self._cancel = asyncio.Event()
        self.cancelled = False
        """Whether it has ended by that."""

    def cancel(self) -> None:
        """End it if it still waits for something."""
        self._cancel.set()

    async def unless_cancelled(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, awaited until `cancel` is called.

        Raises:
            Cancelled: it was.
        """
        task = asyncio.ensure_future(work)
        cancel = asyncio.ensure_future(self._cancel.wait())
        try:
            await asyncio.wait({task, cancel}, return_when=asyncio.FIRST_COMPLETED)
            if self._cancel.is_set():
                self.cancelled = True
                raise Cancelled(f"The launch of {self._uid!r} was cancelled.")
            return task.result()
        finally:
            # A thread runs to its end; nobody waits for what it finds.
            for future in (task, cancel):
                future.cancel()
            await asyncio.wait({task, cancel})


class Launches:
    """One at a time for each uid."""

    def __init__(self) -> None:
        self._launches: dict[str, Launch] = {}

    def names(self) -> dict[str, str]:
        """Uids and aliases, each with the uid it stands for."""
        return {name: uid for uid, launch in self._launches.items() for name in launch.names}

    def get(self, uid: str) -> Launch | None:
        return self._launches.get(uid)

    @contextlib.contextmanager
    def announced(
        self, uid: str, aliases: Sequence[str], wanted: Mapping[str, str]
    ) -> Iterator[Launch]:
        """A new one, known until the end of the block.

        Args:
            wanted: the names of models that are wanted, each with the uid it stands for.

        Raises:
            Conflict: this uid is being launched, or one of the names is another model's.
        """
        if uid in self._launches:
            raise taken(uid, "being launched")
        others = {**wanted, **self.names()}
        for name in (uid, *aliases):
            owner = others.get(name, uid)
            if owner != uid:
                raise Conflict(
                    f"The name {name!r} belongs to model {owner!r}. Terminate that one first, or "
                    "launch under other names.",
                    param="model_uid" if name == uid else "aliases",
                )
        launch = self._launches[uid] = Launch(uid, aliases)
        try:
            yield launch
        finally:
            del self._launches[uid]


def taken(uid: str, how: str) -> Conflict:
    return Conflict(
        f"Model uid {uid!r} is {how} already. Terminate it first, or launch under another uid.",
        param="model_uid",
    )
