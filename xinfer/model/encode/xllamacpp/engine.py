"""What embedding and rerank models have in common on xllamacpp: loading, and closing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xinfer.model.accelerators import linked_accelerators
from xinfer.model.encode.gguf_engine import GgufEncoder
from xinfer.model.encode.xllamacpp.options import RerankOptions
from xinfer.model.encode.xllamacpp.server import EncodeServer
from xinfer.model.encode.xllamacpp.tokenizer import GgufEncodeTokenizer
from xinfer.model.engine import Support
from xinfer.model.gguf_file import context_length, read_headers
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.inspect.gguf_shape import gguf_shape
from xinfer.model.memory import cache_bytes, estimate_gguf, type_bytes, type_number
from xinfer.model.xllamacpp.server import backend
from xinfer.types.model import (
    Abilities,
    EncodeAbilities,
    Loaded,
    Memory,
    ModelSpec,
    Progress,
)

OUTPUT_BYTES = 2 << 30
"""Of llama.cpp's output buffer, where nothing else is said; see `RerankOptions.n_ctx`."""


class XllamacppEncoder(GgufEncoder):
    """An encode engine without what is asked of the model."""

    def __init__(self, spec: ModelSpec, options: RerankOptions) -> None:
        super().__init__(spec, options)
        self._options = options
        self._server: EncodeServer | None = None
        self._tokenizer: GgufEncodeTokenizer | None = None

    @classmethod
    def _installed(cls) -> Support:
        if find_spec("xllamacpp") is None:
            return Support(False, "the package xllamacpp is not installed: pip install xllamacpp")
        return Support(True)

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
        self._vocabulary_size = len(gguf.values.get("tokenizer.ggml.tokens", []))
        longest, batch = context_length(gguf, options.n_ctx), options.n_batch
        if longest > batch and not (pooling == "last" and _looks_backwards(gguf)):
            # Tokens that see each other, or whose mean is taken, have to be computed at once.
            if options.n_ctx is None:
                rows = OUTPUT_BYTES // (4 * max(1, self._vocabulary_size))
                longest = min(longest, max(batch, rows))
            batch = max(batch, longest)
        progress(Progress(0.1, "loading"))
        server = self._server = EncodeServer(
            path, options, pooling=pooling, longest=longest, batch=batch
        )
        self._take_limits(gguf, longest)
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
        with self._tokenizing, self._tokenizing, self._encoding:
            if self._server is not None:
                self._server.close()
                self._server = None

    def _compute(self, sequences: Sequence[list[int]]) -> NDArray[np.float32]:
        assert self._server is not None
        return self._server.compute(sequences)

    @abstractmethod
    def _prepare(
        self, parts: Sequence[GgufMetadata], tokenizer: GgufEncodeTokenizer, width: int
    ) -> None:
        """Get ready to tokenize, and for rows of so many numbers."""

    @abstractmethod
    def _abilities(self, gguf: GgufMetadata, pooling: str, width: int) -> EncodeAbilities:
        """What `Loaded` says of it."""


def _looks_backwards(gguf: GgufMetadata) -> bool:
    """Whether tokens see only those before them, as in a language model."""
    return gguf.values.get(f"{gguf.architecture}.attention.causal") is not False
