"""Requests that an engine works on in steps, each on a thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import msgspec

from xinfer.core.replica.active import ActiveRequest
from xinfer.core.replica.admission import Admission, Luggage
from xinfer.core.replica.backend import wrong_kind
from xinfer.core.replica.outbox import Channel
from xinfer.errors import Cancelled, EngineFailed, InvalidRequest, Unavailable
from xinfer.model.work_engine import EngineBroken, WorkEngine
from xinfer.types.event import Finished, Made, Started, Usage
from xinfer.types.link import Submit
from xinfer.types.model import EngineStats, Loaded
from xinfer.types.product import Advance, Picture, Preview, Product, Sound
from xinfer.types.request import Request, TextRequest, WorkRequest

logger = logging.getLogger(__name__)

PIECE_BYTES = 64 << 10
"""Of a picture or of sound in one event: a request's window of them is a fraction of what a link
takes, and no frame holds up those of other requests."""

_REMEMBERED = 256
"""Requests that were done, of which it is still told that they were."""


class WorkBackend:
    """A work engine and its threads. Made on the event loop that it serves."""

    def __init__(self, engine: WorkEngine, loaded: Loaded) -> None:
        self.engine = engine
        self.loop = asyncio.get_running_loop()
        self.threads = ThreadPoolExecutor(loaded.concurrency, thread_name_prefix="work")
        self._tasks = loaded.abilities.tasks
        self._ended: asyncio.Future[None] = self.loop.create_future()
        self._active: dict[str, _Together] = {}
        """By their public id."""
        self._done: OrderedDict[str, None] = OrderedDict()

    def begin(self, number: int, message: Submit, size: int, channel: Channel) -> Working:
        return Working(number, message, channel, self)

    def enter(self, request: Working) -> None:
        """It has come; how much of it is done is told from now on."""
        self._active.setdefault(request.request_id, _Together()).working.add(request)

    def leave(self, request: Working) -> None:
        together = self._active[request.request_id]
        together.working.remove(request)
        together.left += 1
        if not together.working:
            del self._active[request.request_id]

    def done(self, request: Working) -> None:
        """It has been answered whole."""
        self._done[request.request_id] = None
        self._done.move_to_end(request.request_id)
        if len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)

    def progress(self, request_id: str) -> float | None:
        together = self._active.get(request_id)
        if together is not None:
            return together.fraction
        return 1.0 if request_id in self._done else None

    async def run(self) -> None:
        try:
            await self._ended
        finally:
            for together in self._active.values():
                for request in together.working:
                    request.stop()
            await asyncio.to_thread(self._close)

    def _close(self) -> None:
        """Blocks until the steps that are computed just now have ended."""
        self.engine.close()
        self.threads.shutdown(cancel_futures=True)

    def stats(self) -> EngineStats:
        return self.engine.stats()

    def spell(self, ids: Sequence[int]) -> list[str]:
        raise self.wrong_kind()

    def tokens(self, request: TextRequest, bare: bool) -> list[int]:
        raise self.wrong_kind()

    def text(self, ids: Sequence[int]) -> str:
        raise self.wrong_kind()

    def wrong_kind(self) -> InvalidRequest:
        return wrong_kind(f"does {', '.join(sorted(self._tasks)) or 'no task'}")

    def close(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)

    def broken(self, error: EngineBroken) -> None:
        """Nothing can be computed any more."""
        if not self._ended.done():
            self._ended.set_exception(EngineFailed(f"The engine has failed for good: {error}"))


class _Together:
    """Requests of one public id, as those for the pictures of several prompts."""

    def __init__(self) -> None:
        self.working: set[Working] = set()
        self.left = 0
        """Those that have come and gone meanwhile."""

    @property
    def fraction(self) -> float:
        """How much of all of them is done."""
        done = self.left + sum(request.fraction for request in self.working)
        return done / (self.left + len(self.working))


class Working(ActiveRequest):
    """One request that is worked on."""

    def __init__(
        self, number: int, message: Submit, channel: Channel, backend: WorkBackend
    ) -> None:
        super().__init__(number, message, channel)
        self.fraction = 0.0
        """How much of it is done."""
        self._request: Request | None = message.request
        self._backend = backend
        self._room = threading.Semaphore(message.window)
        """What may be sent before the reader has taken some; the thread waits for it."""
        self._stopped = False
        channel.on_grant = self._room.release

    async def run(self, admission: Admission, luggage: Luggage | None = None) -> None:
        self._backend.enter(self)
        try:
            await super().run(admission, luggage)
        finally:
            self._backend.leave(self)

    async def _prepare(self) -> None:
        request = self._request
        if not isinstance(request, WorkRequest):
            raise self._backend.wrong_kind()
        await asyncio.to_thread(self._backend.engine.check, request)

    async def _compute(self, waited: float) -> None:
        request, self._request = self._request, None
        assert isinstance(request, WorkRequest)
        backend = self._backend
        self.channel.put(Started(self.channel.rid, 0, waited))
        in_context = contextvars.copy_context().run
        work = backend.loop.run_in_executor(backend.threads, in_context, self._work, request)
        cancelled = False
        while not work.done():
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError:  # may come again while a step takes its time
                cancelled = True
                self.stop()
        if cancelled:
            work.exception()  # whoever cancelled it has ended the request already
            raise asyncio.CancelledError
        usage = work.result()
        backend.done(self)
        self.channel.end(Finished(self.channel.rid, "stop", usage))

    def stop(self) -> None:
        """Nothing more is wanted: the thread learns of it with its next step."""
        self._stopped = True
        self._room.release()

    def on_engine_closed(self) -> None:
        self.stop()

    def _work(self, request: WorkRequest) -> Usage:
        """On a thread of the pool."""
        try:
            return self._backend.engine.work(request, self._report)
        except MemoryError as error:
            raise Unavailable(
                "There is not enough memory for this request. Ask for less at once, or launch the "
                "model on a device that has more.",
                code="no_capacity",
            ) from error
        except EngineBroken as error:
            self._backend.loop.call_soon_threadsafe(self._backend.broken, error)
            raise EngineFailed(f"The engine has failed for good: {error}") from error

    def _report(self, made: Product) -> None:
        """On the thread that works. Waits while the reader has enough to take."""
        if self._stopped:
            raise Cancelled("The request was cancelled.")
        if isinstance(made, Advance):
            self.fraction = min(1.0, made.done / made.total) if made.total > 0 else 0.0
            self._send(made)
            return
        for piece in _pieces(made):
            self._room.acquire()
            if self._stopped:
                raise Cancelled("The request was cancelled.")
            self._send(piece)

    def _send(self, product: Product) -> None:
        event = Made(self.channel.rid, product)
        self._backend.loop.call_soon_threadsafe(self.channel.put, event)


def _pieces(product: Product) -> Iterator[Product]:
    """What is sent of it at once."""
    if not isinstance(product, Picture | Preview | Sound) or len(product.data) <= PIECE_BYTES:
        yield product
        return
    for start in range(0, len(product.data), PIECE_BYTES):
        data = product.data[start : start + PIECE_BYTES]
        if isinstance(product, Sound):
            yield msgspec.structs.replace(product, data=data)
        else:
            more = start + PIECE_BYTES < len(product.data)
            yield msgspec.structs.replace(product, data=data, more=more)
