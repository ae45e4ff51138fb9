"""What embedding and rerank models have in common on llama-cpp-python: loading, and closing."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.encode.gguf_engine import GgufEncoder
from xinfer.model.encode.llama_cpp.context import EncodeContext, plan_kv
from xinfer.model.encode.llama_cpp.options import RerankOptions
from xinfer.model.engine import Support
from xinfer.model.gguf_file import context_length, read_headers
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llama_cpp.binding import PACKAGE, accelerators, installed, library
from xinfer.model.llama_cpp.kv_cache import kv_bytes
from xinfer.model.llama_cpp.loading import load_model
from xinfer.model.llama_cpp.model import LlamaModel
from xinfer.model.memory import estimate_gguf
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


class LlamaCppEncoder(GgufEncoder):
    """An encode engine without what is asked of the model."""

    def __init__(self, spec: ModelSpec, options: RerankOptions) -> None:
        super().__init__(spec, options)
        self._options = options
        self._release: list[Callable[[], None]] = []
        self._context: EncodeContext | None = None

    @classmethod
    def _installed(cls) -> Support:
        if not installed():
            return Support(False, f"the package {PACKAGE} is not installed", "llama-cpp")
        return Support(True)

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        return accelerators()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: RerankOptions) -> Memory:
        parts = read_headers(spec.path)
        kv = plan_kv(options, context_length(parts[0], options.n_ctx), options.n_batch)
        return estimate_gguf(
            parts,
            kv_cache=sum(kv_bytes(parts[0], kv, options.items)),
            ubatch=options.n_batch,
            attended=options.n_batch,
            flash=options.flash_attn != "off",
            gpu_layers=options.n_gpu_layers,
            divides=options.split_mode != "none",
        )

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        options, path = self._options, self._spec.path
        parts = read_headers(path)
        gguf = parts[0]
        pooling = self._pooling(parts)
        longest = context_length(gguf, options.n_ctx)
        model, offloaded = load_model(
            parts,
            options,
            kv_bytes=kv_bytes(gguf, plan_kv(options, longest, options.n_batch)),
            progress=lambda fraction: progress(Progress(0.9 * fraction, "loading")),
        )
        self._release.append(model.close)
        _check_kind(model, path)
        self._prepare(model, gguf)
        width = self._width(model)

        def context(longest: int, batch: int) -> EncodeContext:
            return EncodeContext(
                model,
                options,
                path=path,
                pooling=pooling,
                width=width,
                longest=longest,
                batch=batch,
            )

        made = context(longest, options.n_batch)
        if longest > options.n_batch and not made.continues:
            made.close()
            if options.n_ctx is None:
                rows = OUTPUT_BYTES // (4 * model.vocabulary_size)
                longest = min(longest, max(options.n_batch, rows))
            made = context(longest, max(longest, options.n_batch))
        self._release.append(made.close)
        self._context = made
        self._take_limits(gguf, longest)
        self._vocabulary_size = model.vocabulary_size
        progress(Progress(1.0, "loading"))
        return Loaded(
            context_length=longest,
            concurrency=options.items,
            abilities=Abilities(cancel="end", encode=self._abilities(model, gguf, pooling)),
            backend=offloaded.backend,
            details={
                "architecture": gguf.architecture,
                "layers": model.layers,
                "layers_offloaded": offloaded.layers,
                "threads": options.threads,
            },
        )

    def close(self) -> None:
        """End what is computed and release the model; blocks for up to one operation of it."""
        self._closing = True
        if self._context is not None:
            self._context.abort()
        with self._tokenizing, self._tokenizing, self._encoding:
            for release in reversed(self._release):
                release()
            self._release.clear()

    def _compute(self, sequences: Sequence[list[int]]) -> NDArray[np.float32]:
        assert self._context is not None
        return self._context.compute(sequences)

    @abstractmethod
    def _prepare(self, model: LlamaModel, gguf: GgufMetadata) -> None:
        """Get ready to tokenize."""

    @abstractmethod
    def _width(self, model: LlamaModel) -> int:
        """Numbers that llama.cpp gives for a sequence."""

    @abstractmethod
    def _abilities(self, model: LlamaModel, gguf: GgufMetadata, pooling: str) -> EncodeAbilities:
        """What `Loaded` says of it."""


def _check_kind(model: LlamaModel, path: str) -> None:
    """Check that one pass through the model makes an embedding.

    Raises:
        InvalidRequest: it needs two; llama.cpp would end the process over the first text.
    """
    llama = library()
    encoder = llama.llama_model_has_encoder(model.pointer)
    if encoder and llama.llama_model_has_decoder(model.pointer):
        raise InvalidRequest(
            f"{path} is a model of an encoder and a decoder. llama.cpp makes embeddings with "
            "models of one of them.",
            param="model_path",
        )
