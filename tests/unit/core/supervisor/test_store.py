"""The store that lives in memory."""

from __future__ import annotations

import pytest

from tests.unit.core.supervisor.support import deployment, run
from xinfer.core.supervisor.store import MemoryStore


def test_what_was_put_is_loaded_until_it_is_deleted() -> None:
    async def main() -> None:
        store = MemoryStore(first_generation=1)
        await store.put(deployment("a"))
        await store.put(deployment("b"))
        await store.put(deployment("a", generation=2))
        assert await store.load() == [deployment("a", generation=2), deployment("b")]
        await store.delete("a")
        await store.delete("never there")
        assert await store.load() == [deployment("b")]

    run(main)


def test_generations_never_go_back() -> None:
    async def main() -> None:
        store = MemoryStore(first_generation=50)
        assert await store.last_generation("a") == 0
        assert await store.next_generation("a") == 50
        await store.put(deployment("a", generation=60))
        assert await store.next_generation("a") == 61
        await store.delete("a")
        assert await store.last_generation("a") == 60
        assert await store.next_generation("a") == 61
        with pytest.raises(ValueError, match="older than 60"):
            await store.put(deployment("a", generation=59))

    run(main)
