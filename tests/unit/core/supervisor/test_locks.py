"""One lock for each key."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.core.supervisor.support import run, until
from xinfer.core.supervisor.locks import KeyedLocks


def test_one_key_is_held_once_at_a_time_and_others_do_not_wait() -> None:
    async def main() -> None:
        locks = KeyedLocks()
        order: list[str] = []
        gate = asyncio.Event()

        async def work(key: str, name: str) -> None:
            async with locks.hold(key):
                order.append(f"{name} in")
                if name == "first":
                    await gate.wait()
                order.append(f"{name} out")

        first = asyncio.create_task(work("a", "first"))
        await until(lambda: order)
        second = asyncio.create_task(work("a", "second"))
        await work("b", "other")
        assert order == ["first in", "other in", "other out"]
        gate.set()
        await asyncio.gather(first, second)
        assert order[3:] == ["first out", "second in", "second out"]

    run(main)


def test_a_key_is_forgotten_when_nobody_uses_it() -> None:
    async def fail(locks: KeyedLocks) -> None:
        async with locks.hold("a"):
            assert vars(locks)["_locks"]
            raise KeyError

    async def main() -> None:
        locks = KeyedLocks()
        with pytest.raises(KeyError):
            await fail(locks)
        assert vars(locks) == {"_locks": {}, "_users": {}}

    run(main)
