"""Embedding models of .gguf files."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.encode.llama_cpp.engine import LlamaCppEncoder
from xinfer.model.encode.llama_cpp.options import EmbeddingOptions
from xinfer.model.encode.llama_cpp.prompts import special_tokens
from xinfer.model.encode.pooling import pooling_of
from xinfer.model.encode.prompts import TextPrompt
from xinfer.model.encode_engine import EmbedResult, Encoded, Item, Pair
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llama_cpp.binding import library
from xinfer.model.llama_cpp.model import LlamaModel
from xinfer.types.model import EncodeAbilities, ModelSpec


class LlamaCppEmbedding(LlamaCppEncoder):
    """Vectors of length 1, the same as llama-server's."""

    model_type = "embedding"
    options_class = EmbeddingOptions

    def __init__(self, spec: ModelSpec, options: EmbeddingOptions) -> None:
        super().__init__(spec, options)
        self._asked = options.pooling
        self._matryoshka = options.matryoshka
        self._prompt: TextPrompt | None = None

    def _pooling(self, parts: Sequence[GgufMetadata]) -> str:
        return pooling_of(parts[0], self._asked)

    def _prepare(self, model: LlamaModel, gguf: GgufMetadata) -> None:
        special_tokens(model, gguf.path)
        self._prompt = TextPrompt(model)

    def _width(self, model: LlamaModel) -> int:
        width: int = library().llama_model_n_embd_out(model.pointer)
        return width

    def _abilities(self, model: LlamaModel, gguf: GgufMetadata, pooling: str) -> EncodeAbilities:
        return EncodeAbilities(
            batch_tokens=self._options.n_batch,
            batch_items=self._options.items,
            truncate=self._options.truncate,
            pooling=pooling,
            dimensions=self._width(model),
            normalised=True,
            matryoshka=self._matryoshka,
        )

    def _tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        assert self._prompt is not None
        encoded = []
        for item in items:
            if isinstance(item, Pair):
                raise InvalidRequest("An embedding model takes texts, not pairs of texts.")
            encoded.append(self._prompt.encode(item))
        return encoded

    def _result(self, row: NDArray[np.float32]) -> EmbedResult:
        norm = float(np.linalg.norm(row.astype(np.float64)))
        return EmbedResult(row if norm == 0 else (row / norm).astype(np.float32))
