"""Asking several things at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any

from tests.conformance.subject import Work
from tests.support.token_engine import Answer, Driver


async def answer(driver: Driver, work: Work, **fields: Any) -> Answer:
    """The answer to one prompt, which has to be the right one."""
    got = await driver.ask(work.prompt, work.max_tokens, **fields)
    expected = work.expected
    assert (got.ids, got.finish) == (expected.ids, expected.finish), (
        f"prompt of {len(work.prompt)} tokens, {got.cached_tokens} of them reused: {got.failure}"
    )
    return got


@asynccontextmanager
async def meanwhile(*coroutines: Coroutine[Any, Any, Answer]) -> AsyncIterator[None]:
    """Ask these while the block runs, having submitted as many as the engine takes; await them."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        await asyncio.sleep(0)  # the tasks begin, and submit
        yield
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def together(driver: Driver, works: Iterable[Work], **fields: Any) -> None:
    """Ask these prompts at once; as many run as the engine takes."""
    async with meanwhile(*(answer(driver, work, **fields) for work in works)):
        pass
