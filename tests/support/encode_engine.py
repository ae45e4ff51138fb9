"""An encode engine of the test's: letters are tokens, and some of them make it fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import Cancelled, EngineFailed, InvalidRequest, Unavailable, XinferError
from xinfer.model.encode_engine import EmbedResult, Encoded, Item, Pair, RankResult, Result
from xinfer.model.engine import EngineOptions, Support
from xinfer.types.event import SPARSE_ENTRY
from xinfer.types.model import (
    Abilities,
    EncodeAbilities,
    EngineStats,
    Loaded,
    Memory,
    ModelSpec,
    Progress,
)

WIDTH = 8
CONTEXT = 64
BAD, NAN, CRASH, BROKEN = "\x01", "\x02", "\x03", "\x04"
"""In a text: the engine refuses it, has no number for it, raises over it, or is done for."""


def vector(ids: Sequence[int]) -> list[float]:
    """What a text's tokens come to."""
    return [float(len(ids)), float(sum(ids)), *map(float, (list(ids) + [0] * WIDTH)[: WIDTH - 2])]


def sparse(ids: Sequence[int]) -> NDArray[np.void]:
    """Each letter's weight is how often it is there."""
    letters, counts = np.unique(np.array(ids, int), return_counts=True)
    return np.array(list(zip(letters, counts, strict=True)), list(SPARSE_ENTRY))


class LetterEngine:
    """A token is a letter. Made for the threads that the contract has, and no more.

    Args:
        memory: letters that it can compute at once.
        gated: whether each batch waits to be let through by `release`.
    """

    def __init__(
        self, *, memory: int = 1 << 20, gated: bool = False, scores: bool = False, **abilities: Any
    ) -> None:
        self.batches: list[list[str]] = []
        self.tokenized: list[str] = []
        self.begun = 0
        """Batches that it was given."""
        self._memory = memory
        self._gate = threading.Semaphore(0) if gated else None
        self._encoding = threading.Lock()
        self._tokenizing = threading.Semaphore(2)
        self._closed = False
        self._scores = scores
        self._abilities = EncodeAbilities(
            **{
                "batch_tokens": 32,
                "batch_items": 4,
                "dimensions": 0 if scores else WIDTH,
                "scores": int(scores),
                # They are not, so that a test can tell what they were made of.
                "normalised": True,
                **abilities,
            }
        )

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
            context_length=CONTEXT,
            concurrency=self._abilities.batch_items,
            abilities=Abilities(cancel="end", encode=self._abilities),
        )

    def tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        with _alone(self._tokenizing):
            made = [self._tokenize(item) for item in items]
        self.tokenized += map(str, items)
        return made

    def _tokenize(self, item: Item) -> Encoded:
        if isinstance(item, Pair):
            ids = [ord(c) for c in f"{item.query}|{item.document}"]
            return Encoded(ids, (len(item.query) + 1, len(ids)))
        if item == "crash the tokenizer":
            raise RuntimeError("a defect")
        return Encoded([ord(c) for c in item], (0, len(item)))

    def encode(self, batch: Sequence[Encoded]) -> list[Result | XinferError]:
        with _alone(self._encoding):
            self.begun += 1
            if self._gate is not None:
                self._gate.acquire()
            if self._closed:
                raise Cancelled("The model was unloaded.")
            texts = ["".join(map(chr, one.ids)) for one in batch]
            self.batches.append(texts)
            if any(CRASH in text for text in texts):
                raise RuntimeError("a defect")
            if any(BROKEN in text for text in texts):
                raise EngineFailed("The device is gone.")
            if sum(map(len, texts)) > self._memory:
                raise Unavailable("There is no memory for it.", code="no_capacity")
            return [self._result(text, one) for text, one in zip(texts, batch, strict=True)]

    def _result(self, text: str, encoded: Encoded) -> Result | XinferError:
        if BAD in text:
            return InvalidRequest("A text cannot be computed.")
        numbers = np.array(vector(encoded.ids), np.float32)
        if NAN in text:
            numbers[1] = np.nan
        if self._scores:
            return RankResult(numbers[1:2])
        return EmbedResult(numbers, sparse(encoded.ids) if self._abilities.sparse else None)

    def release(self, batches: int = 1) -> None:
        """Let so many batches be computed."""
        assert self._gate is not None
        self._gate.release(batches)

    def spell(self, ids: Sequence[int]) -> list[str]:
        if not all(0 <= token < 1 << 16 for token in ids):
            raise InvalidRequest("The model has no such token.", param="input")
        return [chr(token) for token in ids]

    def close(self) -> None:
        self._closed = True
        if self._gate is not None:
            self._gate.release(1 << 10)

    def stats(self) -> EngineStats:
        return EngineStats(prompt_tokens=sum(len(t) for batch in self.batches for t in batch))


class _alone:
    """Fails where more threads are in a method than may be."""

    def __init__(self, lock: threading.Lock | threading.Semaphore) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        assert self._lock.acquire(blocking=False), "another thread at once"

    def __exit__(self, *_: object) -> None:
        self._lock.release()
