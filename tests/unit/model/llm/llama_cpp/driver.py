"""Runs the engine for a test as a replica would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xinfer.model.engine import Logprob, TokenEvent, TokenRequest
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.llama_cpp.engine import LlamaCppEngine
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions
from xinfer.types.failure import Failure
from xinfer.types.model import Loaded, ModelSpec
from xinfer.types.request import Sampling

GREEDY = Sampling(temperature=0.0)


@dataclass
class Answer:
    """All that came of one request."""

    ids: list[int] = field(default_factory=list)
    logprobs: list[Logprob] = field(default_factory=list)
    finish: str | None = None
    failure: Failure | None = None
    cached_tokens: int = 0
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, event: TokenEvent) -> None:
        assert self.finish is None, "an event after the last"
        self.ids += event.ids
        self.logprobs += event.logprobs
        self.finish = event.finish
        self.failure = event.failure
        self.cached_tokens = event.cached_tokens
        self.begun.set()
        if event.finish is not None:
            self.ended.set()


class Driver:
    def __init__(self, engine: LlamaCppEngine, loaded: Loaded, spec: ModelSpec) -> None:
        self.engine = engine
        self.loaded = loaded
        self.spec = spec
        self._answers: dict[int, Answer] = {}
        self.consumer = asyncio.create_task(self._consume())

    def submit(
        self, prompt: list[int], max_tokens: int, sampling: Sampling = GREEDY, **fields: Any
    ) -> tuple[int, Answer]:
        return self.submit_request(
            TokenRequest(
                id=len(self._answers),
                prompt=prompt,
                max_tokens=max_tokens,
                sampling=sampling,
                **fields,
            )
        )

    def submit_request(self, request: TokenRequest) -> tuple[int, Answer]:
        """Submit one whose id is the number of those before it."""
        assert request.id == len(self._answers)
        answer = self._answers[request.id] = Answer()
        self.engine.submit(request)
        return request.id, answer

    async def ask(
        self, prompt: list[int], max_tokens: int, sampling: Sampling = GREEDY, **fields: Any
    ) -> Answer:
        _, answer = self.submit(prompt, max_tokens, sampling, **fields)
        await self.wait(answer.ended)
        return answer

    async def wait(self, event: asyncio.Event) -> None:
        """Wait for what the engine's events bring about; raises when they end instead."""
        waiting = asyncio.create_task(event.wait())
        await asyncio.wait(
            {waiting, self.consumer}, timeout=60, return_when=asyncio.FIRST_COMPLETED
        )
        if not event.is_set():
            waiting.cancel()
            if self.consumer.done():
                await self.consumer
            raise AssertionError("nothing came of a request")

    async def _consume(self) -> None:
        async for events in self.engine.steps():
            for event in events:
                self._answers[event.id].take(event)


@asynccontextmanager
async def running(path: Path, **options: Any) -> AsyncIterator[Driver]:
    """A loaded engine with one thread, 512 tokens of context and 4 slots, computing in 32 bits."""
    exact = {"flash_attn": "off", "cache_type_k": "f32", "cache_type_v": "f32"}
    settings = {"n_threads": 1, "n_ctx": 512, "n_parallel": 4, **exact, **options}
    spec = inspect_path(str(path))
    engine = LlamaCppEngine(spec, LlamaCppOptions(**settings))
    loaded = await asyncio.to_thread(engine.load, lambda _: None)
    driver = Driver(engine, loaded, spec)
    try:
        yield driver
    finally:
        await asyncio.to_thread(engine.close)
        await asyncio.wait_for(driver.consumer, 60)
