"""Runs an engine for a test as a replica would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xinfer.model.engine import TokenEvent, TokenRequest
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.llama_cpp.engine import LlamaCppEngine
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions
from xinfer.types.failure import Failure
from xinfer.types.model import Loaded
from xinfer.types.request import Sampling

GREEDY = Sampling(temperature=0.0, ignore_eos=True)


@dataclass
class Answer:
    """All that came of one request."""

    ids: list[int] = field(default_factory=list)
    finish: str | None = None
    failure: Failure | None = None
    cached_tokens: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, event: TokenEvent) -> None:
        assert self.finish is None, "an event after the last"
        self.ids += event.ids
        self.finish, self.failure = event.finish, event.failure
        self.cached_tokens = event.cached_tokens
        self.begun.set()
        if event.finish is not None:
            self.ended.set()


class Driver:
    def __init__(self, engine: LlamaCppEngine, loaded: Loaded) -> None:
        self.engine = engine
        self.loaded = loaded
        self._answers: dict[int, Answer] = {}

    def submit(
        self, prompt: list[int], max_tokens: int, sampling: Sampling = GREEDY, **fields: Any
    ) -> tuple[int, Answer]:
        number = len(self._answers)
        answer = self._answers[number] = Answer()
        self.engine.submit(
            TokenRequest(
                id=number, prompt=prompt, max_tokens=max_tokens, sampling=sampling, **fields
            )
        )
        return number, answer

    async def ask(self, *args: Any, **fields: Any) -> Answer:
        _, answer = self.submit(*args, **fields)
        await asyncio.wait_for(answer.ended.wait(), 60)
        return answer

    async def consume(self) -> None:
        async for events in self.engine.steps():
            for event in events:
                self._answers[event.id].take(event)


@asynccontextmanager
async def running(path: Path, **options: Any) -> AsyncIterator[Driver]:
    """A loaded engine with one thread, 512 tokens of context and two slots by default."""
    settings = LlamaCppOptions(**{"n_threads": 1, "n_ctx": 512, "n_parallel": 2, **options})
    engine = LlamaCppEngine(inspect_path(str(path)), settings)
    loaded = await asyncio.to_thread(engine.load, lambda _: None)
    driver = Driver(engine, loaded)
    consumer = asyncio.create_task(driver.consume())
    try:
        yield driver
    finally:
        await asyncio.to_thread(engine.close)
        await asyncio.wait_for(consumer, 60)
