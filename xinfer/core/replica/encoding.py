"""Requests that an encode engine answers, computed together by the micro-batcher."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from xinfer.core.replica.active import ActiveRequest
from xinfer.core.replica.backend import wrong_kind
from xinfer.core.replica.outbox import Channel
from xinfer.errors import InvalidRequest
from xinfer.model.batching import Job, MicroBatcher, Outcome
from xinfer.model.encode_engine import EncodeEngine, SpellingEngine
from xinfer.types.event import EncodeFinished, Rows, Started
from xinfer.types.link import Submit
from xinfer.types.model import EngineStats, Loaded
from xinfer.types.request import EncodeRequest, Request, TextRequest

_BATCHES_ADMITTED = 4


def encode_slots(loaded: Loaded) -> int:
    """Requests that are worked on at once: enough that the next batches are tokenized while one
    is computed, though each may be a single text."""
    abilities = loaded.abilities.encode
    assert abilities is not None
    return max(loaded.concurrency, _BATCHES_ADMITTED * abilities.batch_items)


class EncodeBackend:
    """An encode engine behind the micro-batcher. Made on the event loop that it serves."""

    def __init__(self, engine: EncodeEngine, loaded: Loaded) -> None:
        self._engine = engine
        self._loaded = loaded
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._running: dict[Job, Encoding] = {}
        self._batcher = MicroBatcher(engine, loaded, self._on_outcomes, self._on_broken)

    def begin(self, number: int, message: Submit, size: int, channel: Channel) -> Encoding:
        return Encoding(number, message, channel, self)

    def job(self, request: Request) -> Job:
        """The request for the batcher.

        Raises:
            InvalidRequest: it asks for what the model does not do.
        """
        if not isinstance(request, EncodeRequest):
            raise wrong_kind("makes vectors or scores of texts")
        return Job(request, self._loaded)

    def enter(self, job: Job, request: Encoding) -> None:
        """Have the job computed, and its outcomes told to the request."""
        self._running[job] = request
        self._batcher.add(job)

    def leave(self, job: Job) -> None:
        """Nothing more is wanted of it."""
        if self._running.pop(job, None) is not None:
            self._batcher.drop(job)

    async def run(self) -> None:
        self._batcher.start()
        try:
            await self._ended
        finally:
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        """Blocks until what is computed just now has ended."""
        self._engine.close()
        self._batcher.close()

    def stats(self) -> EngineStats:
        return self._engine.stats()

    def spell(self, ids: Sequence[int]) -> list[str]:
        if not isinstance(self._engine, SpellingEngine):
            raise InvalidRequest("The engine of this model does not tell how tokens are spelled.")
        return self._engine.spell(ids)

    def tokens(self, request: TextRequest, bare: bool) -> list[int]:
        raise wrong_kind("makes vectors or scores of texts")

    def text(self, ids: Sequence[int]) -> str:
        raise wrong_kind("makes vectors or scores of texts")

    def progress(self, request_id: str) -> float | None:
        return None

    def close(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def _on_outcomes(self, outcomes: list[Outcome]) -> None:
        """On a thread of the batcher's: one turn of the loop for all of them, and so one frame."""
        self._loop.call_soon_threadsafe(self._take, outcomes)

    def _take(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            request = self._running.get(outcome.job)
            if request is not None:
                request.on_outcome(outcome)

    def _on_broken(self, error: BaseException) -> None:
        self._loop.call_soon_threadsafe(self._break, error)

    def _break(self, error: BaseException) -> None:
        if not self._ended.done():
            self._ended.set_exception(error)


class Encoding(ActiveRequest):
    """One request for vectors or scores."""

    def __init__(
        self, number: int, message: Submit, channel: Channel, backend: EncodeBackend
    ) -> None:
        super().__init__(number, message, channel)
        self._request: Request | None = message.request
        self._backend = backend
        self._job: Job | None = None
        self._over = asyncio.Event()

    async def _prepare(self) -> None:
        request, self._request = self._request, None
        assert request is not None
        self._job = self._backend.job(request)

    async def _compute(self, waited: float) -> None:
        job = self._job
        assert job is not None
        self._backend.enter(job, self)
        self.channel.put(Started(self.channel.rid, 0, waited))
        try:
            await self._over.wait()
        finally:
            self._backend.leave(job)

    def on_outcome(self, outcome: Outcome) -> None:
        """Take what one batch brought for this request."""
        if outcome.error is not None:
            self._leave_place()
            self._fail(outcome.error)
            self._over.set()
            return
        rid, lengths = self.channel.rid, list(outcome.lengths)
        self.channel.put(Rows(rid, outcome.places, outcome.data, lengths))
        if outcome.finished:
            self._leave_place()
            job = outcome.job
            truncated = tuple(sorted(job.truncated))
            self.channel.end(
                EncodeFinished(self.channel.rid, "stop", job.usage, truncated=truncated)
            )
            self._over.set()

    def on_engine_closed(self) -> None:
        self._over.set()
