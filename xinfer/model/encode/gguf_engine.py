"""What engines for embedding and rerank models of .gguf files have in common: batches, results
that fail, and an end in the midst of them."""

from __future__ import annotations

import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import Cancelled, EngineFailed, InvalidRequest, XinferError
from xinfer.model.encode.batches import groups, refusal
from xinfer.model.encode.beginnings import Beginnings, word_ends
from xinfer.model.encode_engine import Encoded, Item, Result
from xinfer.model.engine import EngineOptions, Support
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llm.tokenizer.pieces import BYTE_LEVEL, SENTENCEPIECE, byte_level_piece
from xinfer.types.model import EngineStats, ModelSpec

UNIGRAM, WORD_PIECE = "t5", "bert"


class BatchOptions(Protocol):
    """Options of how much is computed at once."""

    @property
    def n_batch(self) -> int: ...

    @property
    def items(self) -> int: ...


class GgufEncoder(ABC):
    """An encode engine without loading, and without what is asked of the model."""

    model_type: ClassVar[str]
    options_class: ClassVar[type[EngineOptions]]

    def __init__(self, spec: ModelSpec, options: BatchOptions) -> None:
        self._spec = spec
        self._batching = options
        self._closing = False
        self._tokenizing = threading.Semaphore(2)
        """For the two threads that may; both are taken to close."""
        self._encoding = threading.Lock()
        self._longest = 0
        """Tokens of an item; there once it is loaded, like the next two."""
        self._beginnings: Beginnings | None = None
        self._vocabulary: list[str] = []
        self._vocabulary_size = 0
        self._running = 0
        self._computed = 0

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if spec.type != cls.model_type:
            return Support(
                False, f"it runs {cls.model_type} models, not models of type {spec.type}"
            )
        if spec.format != "ggufv2":
            return Support(False, "it runs .gguf files (format ggufv2) only")
        return cls._installed()

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return cls.options_class

    def stats(self) -> EngineStats:
        return EngineStats(running=self._running, prompt_tokens=self._computed)

    def spell(self, ids: Sequence[int]) -> list[str]:
        size = len(self._vocabulary)
        for token in ids:
            if not 0 <= token < size:
                raise InvalidRequest(
                    f"The model has no token {token}; its ids are 0 to {size - 1}.", param="input"
                )
        return [self._vocabulary[token] for token in ids]

    def tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        with self._tokenizing:
            self._check_open()
            assert self._beginnings is not None
            return self._beginnings.tokenize(items, self._tokenize)

    def encode(self, batch: Sequence[Encoded]) -> list[Result | XinferError]:
        with self._encoding:
            self._check_open()
            self._running = len(batch)
            try:
                return self._encode(batch)
            finally:
                self._running = 0

    def _encode(self, batch: Sequence[Encoded]) -> list[Result | XinferError]:
        results: list[Result | XinferError | None] = [
            refusal(item, self._longest, self._vocabulary_size) for item in batch
        ]
        able = [index for index, error in enumerate(results) if error is None]
        lengths = [len(batch[index]) for index in able]
        options = self._batching
        for group in groups(lengths, tokens=options.n_batch, items=options.items):
            self._check_open()
            indices = [able[member] for member in group]
            rows = self._rows([batch[index].ids for index in indices])
            for index, row in zip(indices, rows, strict=True):
                results[index] = self._outcome(row)
                self._computed += len(batch[index])
        return [result for result in results if result is not None]

    def _rows(self, sequences: Sequence[list[int]]) -> NDArray[np.float32]:
        rows = self._compute(sequences)
        if len(sequences) > 1:
            # One that is not finite can spoil those that it was computed with.
            for number in np.flatnonzero(~np.isfinite(rows).all(axis=1)):
                rows[number] = self._compute([sequences[number]])[0]
        return rows

    def _outcome(self, row: NDArray[np.float32]) -> Result | XinferError:
        if not np.isfinite(row).all():
            return EngineFailed("The model's result for this text is not a number.")
        return self._result(row)

    def _take_limits(self, gguf: GgufMetadata, longest: int) -> None:
        """Items are of up to `longest` tokens of the file's vocabulary."""
        self._longest = longest
        self._vocabulary = gguf.values.get("tokenizer.ggml.tokens", [])
        self._beginnings = Beginnings(partial(_word_ends, gguf), longest)

    def _check_open(self) -> None:
        if self._closing:
            raise Cancelled("The model was unloaded.")

    @classmethod
    @abstractmethod
    def _installed(cls) -> Support:
        """Whether its package is there."""

    @abstractmethod
    def _compute(self, sequences: Sequence[list[int]]) -> NDArray[np.float32]:
        """A row for each sequence of tokens, (sequences, numbers)."""

    @abstractmethod
    def _pooling(self, parts: Sequence[GgufMetadata]) -> str:
        """How its tokens make one row; raises InvalidRequest when it cannot do this work."""

    @abstractmethod
    def _tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        """As `EncodeEngine.tokenize`."""

    @abstractmethod
    def _result(self, row: NDArray[np.float32]) -> Result:
        """Of what llama.cpp gave for a sequence."""


def _word_ends(gguf: GgufMetadata) -> re.Pattern[str] | None:
    """As `beginnings.word_ends`; None for kinds of tokenizers that are not known here."""
    kind, tokens = gguf.values.get("tokenizer.ggml.model"), gguf.values["tokenizer.ggml.tokens"]
    if kind == BYTE_LEVEL:
        return word_ends(byte_level_piece(token).decode(errors="replace") for token in tokens)
    return word_ends(tokens) if kind in (SENTENCEPIECE, UNIGRAM, WORD_PIECE) else None
