"""Waiting until what was done can be seen: here, and in every API process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from xinfer.api.services import Services
from xinfer.errors import Unavailable
from xinfer.types.control import AwaitSeen
from xinfer.types.deployment import Snapshot

T = TypeVar("T")


async def see(here: Services, predicate: Callable[[Snapshot], T | None]) -> T | None:
    """Wait until the snapshot shows what was just done, so that the next call sees it too; None
    when it does not in time."""
    try:
        return await here.table.wait_for(predicate, here.settings.control_timeout)
    except asyncio.TimeoutError:
        return None


async def reaches_all(here: Services) -> None:
    """Wait until every API process sees what this one does: the next call may come to another."""
    if here.table.snapshot is not None:
        with contextlib.suppress(Unavailable):  # what was asked for is done nevertheless
            await here.control.call(AwaitSeen(here.table.snapshot.version))
