"""The engine that needs no model: for trying a cluster out, and for its tests."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Callable

from xinfer.errors import Cancelled, EngineFailed, Unavailable
from xinfer.model.engine import (
    EngineOptions,
    Support,
    TokenEvent,
    Tokenizer,
    TokenRequest,
)
from xinfer.model.llm.echo.command import parse_command
from xinfer.model.llm.echo.options import EchoOptions
from xinfer.model.llm.echo.request import EchoRequest
from xinfer.model.llm.echo.tokenizer import ByteTokenizer
from xinfer.types.model import Abilities, EngineStats, Loaded, Memory, ModelSpec, Progress
from xinfer.types.request import Sampling

_LOAD_STAGES = 20


class EchoEngine:
    """Repeats each prompt once, then ends with "stop"; with `ignore_eos`, until `max_tokens`.

    It accepts every sampling field: they say how to choose among tokens, and an echo has no
    choice to make.
    """

    def __init__(self, spec: ModelSpec, options: EchoOptions) -> None:
        self.tokenizer: Tokenizer = ByteTokenizer()
        self._options = options
        self._running: dict[int, EchoRequest] = {}
        self._aborted: list[int] = []
        self._next_step = -math.inf
        self._wake = asyncio.Event()
        self._closed = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._prompt_tokens = 0
        self._completion_tokens = 0

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if spec.path or spec.format or spec.sources:
            return Support(
                False, f"it repeats prompts and loads no model files, and {spec.name} has some"
            )
        return Support(True)

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return EchoOptions

    @classmethod
    def accelerators(cls) -> frozenset[str]:
        return frozenset()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: EchoOptions) -> Memory:
        return Memory()

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        options = self._options
        for stage in range(_LOAD_STAGES):
            progress(Progress(stage / _LOAD_STAGES, "loading"))
            if self._closed.wait(options.load_seconds / _LOAD_STAGES):
                raise Cancelled("The engine was closed while it loaded.")
        if options.die_on_load is not None:
            _leave(options.die_on_load)
        if options.fail_on_load:
            raise EngineFailed(options.fail_on_load)
        if options.oom_on_load:
            raise Unavailable(
                "The echo engine was launched with oom_on_load, and so it does not fit into "
                "memory. Launch it without this option.",
                code="no_capacity",
            )
        progress(Progress(1.0, "loading"))
        return Loaded(
            context_length=options.context_length,
            concurrency=options.concurrency,
            abilities=Abilities(
                cancel="step",
                resume=True,
                logprobs=True,
                sampling=frozenset(Sampling.__struct_fields__) - {"max_tokens", "logprobs"},
            ),
        )

    def close(self) -> None:
        self._closed.set()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)

    def stats(self) -> EngineStats:
        return EngineStats(
            running=len(self._running),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
        )

    def submit(self, request: TokenRequest) -> None:
        if len(self._running) >= self._options.concurrency:
            raise RuntimeError(f"The engine takes {self._options.concurrency} requests at once.")
        # A resumed request has met its command where it ran before.
        obeys = self._options.commands and not request.resume
        command = parse_command(request.prompt) if obeys else None
        due = time.monotonic() + self._options.prefill_seconds
        self._running[request.id] = EchoRequest(request, command, due)
        self._prompt_tokens += len(request.prompt)
        self._wake.set()

    def abort(self, request_id: int) -> None:
        if self._running.pop(request_id, None) is not None:
            self._aborted.append(request_id)
            self._wake.set()

    async def steps(self) -> AsyncIterator[list[TokenEvent]]:
        self._loop = asyncio.get_running_loop()
        try:
            while not self._closed.is_set():
                self._wake.clear()
                events = [TokenEvent(request_id, [], "abort") for request_id in self._aborted]
                self._aborted.clear()
                now = time.monotonic()
                if now >= self._next_step and (made := self._step(now)):
                    self._next_step = now + self._options.token_interval
                    events += made
                if events:
                    yield events
                await self._rest()
        finally:
            self._loop = None

    def _step(self, now: float) -> list[TokenEvent]:
        """Advance every request that is due by one event."""
        tokens = self._options.tokens_per_step
        events = []
        ended = []
        for request_id, request in self._running.items():
            if request.due > now:
                continue
            event = request.advance(tokens)
            if event is None:
                request.due = math.inf
                continue
            events.append(event)
            self._completion_tokens += len(event.ids)
            if event.finish is not None:
                ended.append(request_id)
        for request_id in ended:
            del self._running[request_id]
        return events

    async def _rest(self) -> None:
        """Return when a step is due, or something was submitted, aborted or closed."""
        due = min((request.due for request in self._running.values()), default=math.inf)
        delay = max(due, self._next_step) - time.monotonic()
        if delay <= 0:
            await asyncio.sleep(0)
        elif delay == math.inf:
            await self._wake.wait()
        else:
            timer = asyncio.get_running_loop().call_later(delay, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()


def _leave(code: int) -> None:
    """End the process as `EchoOptions.die_on_load` says."""
    if code < 0:
        os.kill(os.getpid(), -code)
    else:
        os._exit(code)
