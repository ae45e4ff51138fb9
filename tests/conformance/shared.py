"""Engines whose processes start slowly: each is started once, and tests take turns on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.conformance.engines import Setup
from tests.support.token_engine import Driver
from xinfer.model.engine import TokenEngine
from xinfer.types.model import Loaded, ModelSpec

if TYPE_CHECKING:
    from tests.conformance.subject import Subject

KEPT = 3
"""Engines that run at once: each is a process besides this one."""
SMALL, LARGE = 256, 2048
"""Contexts that are started; a test that asks for one between them gets the larger one."""


class SharedEngines:
    """Loaded engines by model, context and precision. Slots and steps are what the row makes them,
    and adapters are always there. All on one event loop, and used by one test at a time."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[Any, ...], tuple[TokenEngine, Loaded, ModelSpec]] = {}

    @asynccontextmanager
    async def turn(self, subject: Subject, model: str, setup: Setup) -> AsyncIterator[Driver]:
        """The engine as if it had been started for this test alone."""
        context = SMALL if setup.context <= SMALL else LARGE
        key = (subject.case.id, model, context, setup.exact)
        if key not in self._loaded:
            while len(self._loaded) >= KEPT:
                await self._end(next(iter(self._loaded)))
            adapters = subject.adapters() if model == "noise" and setup.exact else {}
            engine, spec = subject.make(
                model, context=context, exact=setup.exact, adapters=adapters
            )
            loaded = await asyncio.to_thread(engine.load, lambda _: None)
            self._loaded[key] = engine, loaded, spec
        self._loaded[key] = self._loaded.pop(key)  # the last one that is ended
        engine, loaded, spec = self._loaded[key]
        driver = Driver(engine, loaded, spec)
        driver.most = subject.case.most
        try:
            yield driver
        except BaseException:
            # What state it is in is not known.
            driver.leave()
            await self._end(key)
            raise
        await driver.hand_over()
        assert subject.case.forget is not None
        await subject.case.forget(engine)

    async def close(self) -> None:
        for key in list(self._loaded):
            await self._end(key)

    async def _end(self, key: tuple[Any, ...]) -> None:
        engine, _, _ = self._loaded.pop(key)
        await asyncio.to_thread(engine.close)
