"""Runs a token engine for a test as a replica would, and holds it to its contract meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from xinfer.model.engine import ConstrainingEngine, Logprob, TokenEngine, TokenEvent, TokenRequest
from xinfer.model.llm.pipeline import Output, TextPipeline
from xinfer.types.event import ToolCall
from xinfer.types.failure import Failure
from xinfer.types.model import Loaded, ModelSpec
from xinfer.types.request import Request, Sampling

GREEDY = Sampling(temperature=0.0)
PATIENCE = 120.0
"""Seconds until a request that does not end is a failure: far beyond what a busy machine takes."""

FINISHES = {None, "stop", "length", "abort", "error"}


@dataclass
class Answer:
    """All that came of one request."""

    request: TokenRequest
    ends: frozenset[int]
    """Tokens that may not be in `ids`."""
    ids: list[int] = field(default_factory=list)
    logprobs: list[Logprob] = field(default_factory=list)
    finish: str | None = None
    failure: Failure | None = None
    cached_tokens: int = 0
    steps: int = 0
    """Events so far."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _moved: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, event: TokenEvent) -> None:
        """Add an event; fails on one that no engine may send."""
        assert self.finish is None, f"an event after the last: {event}"
        assert event.finish in FINISHES, event
        assert (event.failure is not None) == (event.finish == "error"), event
        assert self.ends.isdisjoint(event.ids), f"an end-of-text token is given out: {event}"
        self.ids += event.ids
        made = len(self.request.resume) + len(self.ids)
        assert made <= self.request.max_tokens, f"{made} tokens, more than max_tokens: {event}"
        if event.finish == "length":
            assert made == self.request.max_tokens, f"the length is {made}: {event}"
        self.logprobs += event.logprobs
        wanted = self.request.sampling.logprobs is not None
        assert len(event.logprobs) == (len(event.ids) if wanted else 0), event
        assert 0 <= event.cached_tokens <= len(self.request.prompt), event
        if event.cached_tokens:
            self.cached_tokens = event.cached_tokens
        self.finish = event.finish
        self.failure = event.failure
        self.steps += 1
        self.begun.set()
        self._moved.set()
        if event.finish is not None:
            self.ended.set()

    async def reaches(self, tokens: int) -> None:
        """Return once there are this many tokens, or the end."""
        while len(self.ids) < tokens and self.finish is None:
            self._moved.clear()
            await self._moved.wait()


@dataclass(frozen=True)
class Text:
    """What a client would get of a request."""

    text: str
    finish: str
    ids: list[int]
    """Of all tokens that the text was made from."""
    prompt_tokens: int
    completion_tokens: int
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()


class Driver:
    """Submits requests to a loaded engine, never more at once than it takes.

    Requests that are not answered within `PATIENCE`, and engines whose `steps` breaks, fail the
    test that waits.
    """

    def __init__(self, engine: TokenEngine, loaded: Loaded, spec: ModelSpec) -> None:
        self.engine = engine
        self.loaded = loaded
        constraints = engine if isinstance(engine, ConstrainingEngine) else None
        self.pipeline = TextPipeline(engine.tokenizer, loaded, spec, constraints=constraints)
        self.answers: dict[int, Answer] = {}
        self.slots = asyncio.Semaphore(loaded.concurrency)
        """Held by whoever has submitted something that has not ended."""
        self.most: Mapping[str, float] = {}
        """The most that the engine takes of some sampling fields; requests for more get this."""
        self._consumer = asyncio.create_task(self._consume())

    def submit(
        self, prompt: list[int], max_tokens: int, sampling: Sampling = GREEDY, **fields: Any
    ) -> tuple[int, Answer]:
        """Give the engine a request now; there must be room for it."""
        return self._submit(
            TokenRequest(
                id=len(self.answers),
                prompt=prompt,
                max_tokens=max_tokens,
                sampling=sampling,
                **fields,
            )
        )

    async def ask(
        self, prompt: list[int], max_tokens: int, sampling: Sampling = GREEDY, **fields: Any
    ) -> Answer:
        """The whole answer, once there was room for the request and it has ended."""
        async with self.slots:
            _, answer = self.submit(prompt, max_tokens, sampling, **fields)
            await self.wait(answer.ended)
        return answer

    async def complete(self, request: Request) -> Text:
        """A request's way through pipeline and engine, as a replica takes it."""
        async with self.slots:
            prepared = self.pipeline.prepare(request, id=len(self.answers))
            output = prepared.output
            number, answer = self._submit(prepared.token_request)
            parts: list[Output] = []
            fed = 0
            made = None
            while made is None or not made.stopped:
                await self.within(answer.reaches(fed + 1))
                made = output.feed(answer.ids[fed:], answer.logprobs[fed:])
                fed = len(answer.ids)
                if not made.stopped and answer.finish is not None:
                    parts.append(made)
                    made = output.finish(answer.finish)
                parts.append(made)
            self.engine.abort(number)
            await self.wait(answer.ended)
        assert made.reason is not None
        return Text(
            "".join(part.text for part in parts),
            made.reason,
            [token for part in parts for token in part.ids],
            prepared.prompt_tokens,
            output.completion_tokens,
            "".join(part.reasoning for part in parts),
            tuple(call for part in parts for call in part.calls),
        )

    async def wait(self, event: asyncio.Event) -> None:
        await self.within(event.wait())

    async def within(self, awaited: Any) -> None:
        """Await something that the engine's events bring about."""
        task = asyncio.ensure_future(awaited)
        done, _ = await asyncio.wait(
            {task, self._consumer}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED
        )
        if task in done:
            await task
            return
        task.cancel()
        if self._consumer in done:
            await self._consumer
            raise AssertionError("the engine's steps ended while a request ran")
        raise AssertionError(f"nothing came for {PATIENCE:.0f} s")

    async def close(self) -> None:
        """Close the engine; its events must end with it."""
        await asyncio.to_thread(self.engine.close)
        await asyncio.wait_for(self._consumer, PATIENCE)

    async def hand_over(self) -> None:
        """End what still runs, and leave the engine to the next driver."""
        for number, answer in self.answers.items():
            if answer.finish is None:
                self.engine.abort(number)
                await self.wait(answer.ended)
        self.leave()
        await asyncio.wait({self._consumer})

    def leave(self) -> None:
        """Take no more events."""
        self._consumer.cancel()

    def _submit(self, request: TokenRequest) -> tuple[int, Answer]:
        sampling = request.sampling
        asked = {name: getattr(sampling, name) for name in self.most}
        beyond = [name for name, value in asked.items() if (value or 0.0) > self.most[name]]
        if beyond:
            milder = msgspec.structs.replace(sampling, **{name: self.most[name] for name in beyond})
            request = msgspec.structs.replace(request, sampling=milder)
        ends = frozenset() if request.sampling.ignore_eos else self.engine.tokenizer.eos_ids
        answer = self.answers[request.id] = Answer(request, ends)
        self.engine.submit(request)
        return request.id, answer

    async def _consume(self) -> None:
        async for events in self.engine.steps():
            assert events, "a step without events"
            for event in events:
                assert event.id in self.answers, f"an event of an unknown request: {event}"
                self.answers[event.id].take(event)


@asynccontextmanager
async def driving(engine: TokenEngine, spec: ModelSpec) -> AsyncIterator[Driver]:
    """Load an engine, and close it in the end."""
    loaded = await asyncio.to_thread(engine.load, lambda _: None)
    driver = Driver(engine, loaded, spec)
    try:
        yield driver
    finally:
        await driver.close()
