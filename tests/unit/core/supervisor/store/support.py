"""Homes with a store in them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from xinfer.core.supervisor.store import Store, open_store

T = TypeVar("T")

NOW = 1_700_000_000.5


def database(home: Path) -> Path:
    return home / "state" / "xinfer.db"


def backups(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "state" / "backups").glob("*"))


def aside(home: Path) -> list[Path]:
    """Damaged databases that were put aside."""
    return sorted(database(home).parent.glob("xinfer.db.damaged-*"))


@asynccontextmanager
async def opened(
    home: Path, *, restore: bool | None = True, now: float = NOW
) -> AsyncIterator[Store]:
    store = open_store(home, restore=restore, unix_now=lambda: now)
    try:
        yield store
    finally:
        await store.close()


def with_store(
    home: Path,
    do: Callable[[Store], Awaitable[T]],
    *,
    restore: bool | None = True,
    now: float = NOW,
) -> T:
    """Open a store for as long as `do` runs; what that returns."""

    async def main() -> T:
        async with opened(home, restore=restore, now=now) as store:
            return await do(store)

    return asyncio.run(asyncio.wait_for(main(), 60))
