"""A work engine of the test's: it makes what a prompt tells it to, step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.support.replicas import Replica, until
from xinfer.core.replica.working import Working
from xinfer.errors import Cancelled, InvalidRequest
from xinfer.model.engine import EngineOptions, Support
from xinfer.model.work_engine import EngineBroken, Report
from xinfer.types.event import Usage
from xinfer.types.model import Abilities, EngineStats, Loaded, Memory, ModelSpec, Progress
from xinfer.types.product import Advance, Picture, Preview, Sound
from xinfer.types.request import ImageRequest, SpeechRequest, WorkRequest


def drawing(prompt: str = "", **more: Any) -> ImageRequest:
    return ImageRequest(task="text2image", prompt=prompt, **more)


async def told_to_stop(replica: Replica) -> None:
    """Return once a request has been told that nothing more is wanted of it."""

    def look() -> bool:
        requests = [request for request, _ in replica.service._active.values()]
        return any(isinstance(one, Working) and one._stopped for one in requests)

    await until(look, "the stop")


class StepEngine:
    """Each request takes `steps` steps, and then makes its previews and `n` pictures.

    A prompt may say `fail`, `crash`, `memory` or `broken`: so the work ends behind its first step;
    `refused` is not let pass; `big` makes pictures of a megabyte.

    Args:
        gated: whether each step waits to be let through by `release`.
    """

    def __init__(self, *, concurrency: int = 1, steps: int = 3, gated: bool = False) -> None:
        self.begun: list[str] = []
        """Prompts whose work began."""
        self.cancelled: list[str] = []
        """Those whose engine was told that nothing more is wanted."""
        self.stepped = 0
        """Steps that were computed."""
        self.steps = steps
        self.most = 0
        """Requests that were worked on at once."""
        self._concurrency = concurrency
        self._gate = threading.Semaphore(0) if gated else None
        self._lock = threading.Lock()
        self._running = 0
        self._closed = False

    def release(self, steps: int = 1) -> None:
        """Let this many steps through."""
        assert self._gate is not None
        self._gate.release(steps)

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        return Support(True)

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return EngineOptions

    @classmethod
    def accelerators(cls) -> frozenset[str]:
        return frozenset()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: Any) -> Memory:
        return Memory()

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        return Loaded(
            context_length=0,
            concurrency=self._concurrency,
            abilities=Abilities(cancel="step", tasks=frozenset({"text2image", "text2audio"})),
        )

    def check(self, request: WorkRequest) -> None:
        if isinstance(request, ImageRequest) and "refused" in request.prompt:
            raise InvalidRequest("It is refused.", param="prompt")

    def work(self, request: WorkRequest, report: Report) -> Usage:
        text = request.prompt if isinstance(request, ImageRequest) else ""
        self.begun.append(text)
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        try:
            return self._work(request, text, report)
        except Cancelled:
            self.cancelled.append(text)
            raise
        finally:
            with self._lock:
                self._running -= 1

    def _work(self, request: WorkRequest, text: str, report: Report) -> Usage:
        for step in range(self.steps):
            if self._gate is not None:
                self._gate.acquire()
            if self._closed:
                raise Cancelled("The model was unloaded.")
            self.stepped += 1
            report(Advance(step + 1, self.steps))
            self._obey(text)
        if isinstance(request, SpeechRequest):
            report(Sound(request.text.encode() * 100_000, 8000))
        if isinstance(request, ImageRequest):
            size = 1_000_000 if "big" in text else 10
            for number in range(request.previews):
                report(Preview(0, number, bytes([100 + number]) * size))
            for index in range(request.n):
                report(Picture(index, bytes([index % 256]) * size, 7 + index))
        return Usage(prompt_tokens=len(text))

    def _obey(self, text: str) -> None:
        if "fail" in text:
            raise InvalidRequest("It cannot be drawn.")
        if "crash" in text:
            raise RuntimeError("a defect")
        if "memory" in text:
            raise MemoryError
        if "broken" in text:
            raise EngineBroken("the device is gone")

    def close(self) -> None:
        self._closed = True
        if self._gate is not None:
            self._gate.release(1000)

    def stats(self) -> EngineStats:
        return EngineStats(running=self._running)
