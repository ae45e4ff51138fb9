"""The threads around an encode engine: two tokenize, one computes, one makes bytes of results.

So the next batch is tokenized, and the last one sent, while the device computes. Nothing waits for
a batch to fill: whenever the device is free it gets what is there. Long texts have a thread that
tokenizes them, so that no other text waits for them.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from xinfer.errors import Cancelled, EngineFailed, Unavailable, XinferError
from xinfer.model.batching.job import Job, Member, Outcome
from xinfer.model.batching.queue import BatchQueue, Settled
from xinfer.model.batching.rows import as_bytes, numbers, sparse_rows
from xinfer.model.encode_engine import Encoded, EncodeEngine, Item, Result
from xinfer.types.failure import Failure
from xinfer.types.model import Loaded

logger = logging.getLogger(__name__)

_BATCHES_TO_SEND = 4
"""Batches whose results wait to be made bytes of, before the device waits."""

_PART_BYTES = 4 << 20

Batch = tuple[Sequence[Member], Sequence["Result | XinferError"]]


class MicroBatcher:
    """Computes jobs; each ends once, by an outcome that is finished or has an error.

    Args:
        deliver: takes what came of a batch; called on a thread of the batcher's.
        broken: told, on such a thread, when the engine cannot compute any more.
    """

    def __init__(
        self,
        engine: EncodeEngine,
        loaded: Loaded,
        deliver: Callable[[list[Outcome]], None],
        broken: Callable[[BaseException], None],
    ) -> None:
        abilities = loaded.abilities.encode
        assert abilities is not None
        self._engine = engine
        self._deliver = deliver
        self._broken = broken
        self._queue = BatchQueue(abilities)
        self._lock = threading.Lock()
        self._texts = (threading.Condition(self._lock), threading.Condition(self._lock))
        """Of short texts that should be tokenized, and of long ones."""
        self._ready = threading.Condition(self._lock)
        self._results: queue.Queue[Batch | None] = queue.Queue(_BATCHES_TO_SEND)
        self._closing = False
        self._threads = [
            threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
            for name, work in (
                ("tokenize", self._tokenize_all),
                ("tokenize long", partial(self._tokenize_all, long=True)),
                ("encode", self._encode_all),
                ("post", self._post_all),
            )
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the threads; the engine has been closed before, so that none stays in it. Blocks."""
        with self._lock:
            self._closing = True
            for condition in self._texts:
                condition.notify()
            self._ready.notify()
        for thread in self._threads:
            thread.join()

    def add(self, job: Job) -> None:
        with self._lock:
            self._queue.add(job)
            self._wake()

    def drop(self, job: Job) -> None:
        """Nothing more is wanted of it; no outcome of it comes after those on their way."""
        with self._lock:
            self._queue.drop(job)

    def _wake(self) -> None:
        for waits, condition in zip(self._queue.untokenized, self._texts, strict=True):
            if waits:
                condition.notify()

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Cancelled:
            return  # the engine was closed
        except BaseException as error:
            if not isinstance(error, XinferError):
                logger.exception("The batcher cannot go on")
            self._broken(error)

    def _tokenize_all(self, *, long: bool = False) -> None:
        while True:
            with self._lock:
                while not self._closing and (taken := self._queue.take_texts(long=long)) is None:
                    self._texts[long].wait()
                if self._closing:
                    return
                self._wake()  # what follows in the job may be for the other thread
            assert taken is not None
            self._tokenize(*taken)

    def _tokenize(self, job: Job, start: int, texts: Sequence[Item | Encoded]) -> None:
        try:
            encoded = self._encoded(texts)
            with self._lock:
                self._queue.add_tokens(job, start, encoded)
                self._ready.notify()
        except Cancelled:
            raise
        except Exception as error:
            if not isinstance(error, XinferError):
                logger.exception("Texts could not be tokenized")
            with self._lock:
                told = not job.ended
                self._queue.drop(job)
            if told:
                self._deliver([Outcome(job, [], b"", error=error)])

    def _encoded(self, texts: Sequence[Item | Encoded]) -> list[Encoded]:
        bare = [text for text in texts if not isinstance(text, Encoded)]
        made = iter(self._engine.tokenize(bare) if bare else ())
        return [text if isinstance(text, Encoded) else next(made) for text in texts]

    def _encode_all(self) -> None:
        try:
            while True:
                with self._lock:
                    while not self._closing and not (batch := self._queue.take_batch()):
                        self._ready.wait()
                    if self._closing:
                        return
                    self._wake()  # there is room for more of a large job
                self._results.put((batch, self._encode(batch)))
        finally:
            self._results.put(None)

    def _encode(self, batch: Sequence[Member]) -> list[Result | XinferError]:
        """Results of all; what fails as a whole is halved until the text that it is of is found."""
        try:
            results = self._engine.encode([member.encoded for member in batch])
        except (Cancelled, EngineFailed):
            raise
        except Exception as error:
            if isinstance(error, Unavailable):
                self._lower(batch, error)
            if len(batch) == 1:
                if not isinstance(error, XinferError):
                    logger.exception("A text could not be computed")
                return [error if isinstance(error, XinferError) else Failure.of(error).error()]
            half = len(batch) // 2
            return [*self._encode(batch[:half]), *self._encode(batch[half:])]
        if len(results) != len(batch):
            raise EngineFailed(f"The engine gave {len(results)} results for {len(batch)} texts.")
        return [_finite(result) for result in results]

    def _lower(self, batch: Sequence[Member], error: Unavailable) -> None:
        with self._lock:
            self._queue.lower(batch)
            tokens, items = self._queue.limits
        logger.warning(
            "No memory for a batch of %d texts (%s). From now on: %d texts, %d tokens.",
            len(batch),
            error.message,
            items,
            tokens,
        )

    def _post_all(self) -> None:
        while (batch := self._results.get()) is not None:
            with self._lock:
                settled = self._queue.settle(*batch)
            outcomes = [outcome for one in settled for outcome in _outcomes(one)]
            if outcomes:
                self._deliver(outcomes)


def _finite(result: Result | XinferError) -> Result | XinferError:
    """What is no number would be null, or nothing, in an answer."""
    if isinstance(result, XinferError) or np.isfinite(numbers(result)).all():
        return result
    return EngineFailed("The model's result for a text is not a number.")


def _outcomes(settled: Settled) -> list[Outcome]:
    """In parts that fit easily into a frame."""
    job, places, results, error = settled
    if error is not None:
        return [Outcome(job, [], b"", error=error)]
    if job.sparse:
        return _sparse_outcomes(job, places, sparse_rows(results))
    data = as_bytes(results, job.dimensions, job.normalise)
    row = len(data) // len(places)
    step = max(1, _PART_BYTES // max(1, row))
    return [
        Outcome(
            job,
            places[start : start + step],
            data[start * row : (start + step) * row],
            finished=job.left == 0 and start + step >= len(places),
        )
        for start in range(0, len(places), step)
    ]


def _sparse_outcomes(job: Job, places: list[int], rows: list[bytes]) -> list[Outcome]:
    step = max(1, _PART_BYTES // max(1, *map(len, rows)))
    return [
        Outcome(
            job,
            places[start : start + step],
            b"".join(rows[start : start + step]),
            lengths=list(map(len, rows[start : start + step])),
            finished=job.left == 0 and start + step >= len(places),
        )
        for start in range(0, len(places), step)
    ]
