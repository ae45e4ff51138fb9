"""What embedding and rerank models have in common: loading, batches, and results that fail."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import Cancelled, EngineFailed, InvalidRequest, XinferError
from xinfer.model.accelerators import linked_accelerators
from xinfer.model.encode.batches import groups, refusal
from xinfer.model.encode.xllamacpp.options import RerankOptions
from xinfer.model.encode.xllamacpp.server import EncodeServer
from xinfer.model.encode.xllamacpp.tokenizer import GgufEncodeTokenizer
from xinfer.model.encode_engine import Encoded, Item, Result
from xinfer.model.engine import EngineOptions, Support
from xinfer.model.gguf_file import context_length, read_headers
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.inspect.gguf_shape import gguf_shape
from xinfer.model.memory import cache_bytes, estimate_gguf, type_bytes, type_number
from xinfer.model.xllamacpp.server import backend
from xinfer.types.model import (
    Abilities,
    EncodeAbilities,
    EngineStats,
    Loaded,
    Memory,
    ModelSpec,
    Progress,
)

OUTPUT_BYTES = 2 << 30
"""Of llama.cpp's output buffer, where nothing else is said; see `RerankOptions.n_ctx`."""


class XllamacppEncoder(ABC):
    """An encode engine without what is asked of the model."""

    model_type: ClassVar[str]
    options_class: ClassVar[type[RerankOptions]]

    def __init__(self, spec: ModelSpec, options: RerankOptions) -> None:
        self._spec = spec
        self._options = options
        self._server: EncodeServer | None = None
        self._tokenizer: GgufEncodeTokenizer | None = None
        self._closing = False
        self._tokenizing = threading.Lock()
        self._encoding = threading.Lock()
        self._longest = 0
        self._tokens: list[str] = []
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
        if find_spec("xllamacpp") is None:
            return Support(False, "the package xllamacpp is not installed: pip install xllamacpp")
        return Support(True)

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return cls.options_class

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        found = find_spec("xllamacpp")
        if found is None or found.origin is None:
            return None
        library = Path(found.origin).parent
        return linked_accelerators([*library.glob("*.so"), *library.glob("*.pyd")])

    @classmethod
    def estimate(cls, spec: ModelSpec, options: RerankOptions) -> Memory:
        parts = read_headers(spec.path)
        shape = gguf_shape(parts[0])
        cells = context_length(parts[0], options.n_ctx) + options.n_batch
        kv = 0
        if shape is not None:
            kv = sum(
                cache_bytes(
                    shape,
                    cells,
                    sequences=options.items,
                    key_bytes=type_bytes(type_number(options.cache_type_k)),
                    value_bytes=type_bytes(type_number(options.cache_type_v)),
                    ahead=None,
                )
            )
        return estimate_gguf(
            parts,
            kv_cache=kv,
            ubatch=options.n_batch,
            attended=options.n_batch,
            gpu_layers=options.n_gpu_layers,
        )

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        options, path = self._options, self._spec.path
        parts = read_headers(path)
        gguf = parts[0]
        pooling = self._pooling(parts)
        self._tokens = gguf.values.get("tokenizer.ggml.tokens", [])
        longest, batch = context_length(gguf, options.n_ctx), options.n_batch
        if longest > batch and not (pooling == "last" and _looks_backwards(gguf)):
            # Tokens that see each other, or whose mean is taken, have to be computed at once.
            if options.n_ctx is None:
                rows = OUTPUT_BYTES // (4 * max(1, len(self._tokens)))
                longest = min(longest, max(batch, rows))
            batch = max(batch, longest)
        progress(Progress(0.1, "loading"))
        server = self._server = EncodeServer(
            path, options, pooling=pooling, longest=longest, batch=batch
        )
        self._longest = longest
        self._tokenizer = GgufEncodeTokenizer(gguf, server)
        if self._tokenizer.native:
            server.remove_socket()
        width = server.compute([[0]]).shape[1]
        self._prepare(parts, self._tokenizer, width)
        progress(Progress(1.0, "loading"))
        return Loaded(
            context_length=longest,
            concurrency=options.items,
            abilities=Abilities(cancel="end", encode=self._abilities(gguf, pooling, width)),
            backend=backend(),
            details={"architecture": gguf.architecture, "threads": options.threads},
        )

    def close(self) -> None:
        """Release the model; blocks until what is computed is there."""
        self._closing = True
        with self._tokenizing, self._encoding:
            if self._server is not None:
                self._server.close()
                self._server = None

    def stats(self) -> EngineStats:
        return EngineStats(running=self._running, prompt_tokens=self._computed)

    def spell(self, ids: Sequence[int]) -> list[str]:
        size = len(self._tokens)
        for token in ids:
            if not 0 <= token < size:
                raise InvalidRequest(
                    f"The model has no token {token}; its ids are 0 to {size - 1}.", param="input"
                )
        return [self._tokens[token] for token in ids]

    def tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        with self._tokenizing:
            self._check_open()
            return self._tokenize(items)

    def encode(self, batch: Sequence[Encoded]) -> list[Result | XinferError]:
        with self._encoding:
            self._check_open()
            self._running = len(batch)
            try:
                return self._encode(batch)
            finally:
                self._running = 0

    def _encode(self, batch: Sequence[Encoded]) -> list[Result | XinferError]:
        options, size = self._options, len(self._tokens)
        results: list[Result | XinferError | None] = [
            refusal(item, self._longest, size) for item in batch
        ]
        able = [index for index, error in enumerate(results) if error is None]
        lengths = [len(batch[index]) for index in able]
        for group in groups(lengths, tokens=options.n_batch, items=options.items):
            self._check_open()
            indices = [able[member] for member in group]
            rows = self._rows([batch[index].ids for index in indices])
            for index, row in zip(indices, rows, strict=True):
                finite = bool(np.isfinite(row).all())
                results[index] = (
                    self._result(row)
                    if finite
                    else EngineFailed("The model's result for this text is not a number.")
                )
                self._computed += len(batch[index])
        return [result for result in results if result is not None]

    def _rows(self, sequences: Sequence[list[int]]) -> NDArray[np.float32]:
        assert self._server is not None
        rows = self._server.compute(sequences)
        if len(sequences) > 1:
            # One that is not finite can spoil those that it was computed with.
            for number in np.flatnonzero(~np.isfinite(rows).all(axis=1)):
                rows[number] = self._server.compute([sequences[number]])[0]
        return rows

    def _check_open(self) -> None:
        if self._closing:
            raise Cancelled("The model was unloaded.")

    @abstractmethod
    def _pooling(self, parts: Sequence[GgufMetadata]) -> str:
        """How llama.cpp makes one row; raises InvalidRequest when the model cannot do this work."""

    @abstractmethod
    def _prepare(
        self, parts: Sequence[GgufMetadata], tokenizer: GgufEncodeTokenizer, width: int
    ) -> None:
        """Get ready to tokenize, and for rows of so many numbers."""

    @abstractmethod
    def _abilities(self, gguf: GgufMetadata, pooling: str, width: int) -> EncodeAbilities:
        """What `Loaded` says of it."""

    @abstractmethod
    def _tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        """As `EncodeEngine.tokenize`."""

    @abstractmethod
    def _result(self, row: NDArray[np.float32]) -> Result:
        """Of what llama.cpp gave for a sequence."""


def _looks_backwards(gguf: GgufMetadata) -> bool:
    """Whether tokens see only those before them, as in a language model."""
    return gguf.values.get(f"{gguf.architecture}.attention.causal") is not False
