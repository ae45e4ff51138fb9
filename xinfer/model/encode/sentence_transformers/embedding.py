"""Embedding models: an encoder, pooling, and whatever their files put behind them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.encode.sentence_transformers import sparse
from xinfer.model.encode.tokens import Tokens
from xinfer.model.encode_engine import EmbedResult, Encoded, Item, Pair
from xinfer.model.torch_device import Place
from xinfer.types.model import EncodeAbilities, ModelSpec

if TYPE_CHECKING:
    from torch import Tensor


class EmbeddingModel:
    """Vectors as `SentenceTransformer.encode` makes them, by all of the model's own steps."""

    second_type = 0

    def __init__(self, spec: ModelSpec, place: Place) -> None:
        from sentence_transformers import SentenceTransformer

        model: Any = SentenceTransformer(
            spec.path,
            device=place.device,
            local_files_only=True,
            trust_remote_code=bool(spec.remote_code),
            model_kwargs={"dtype": place.dtype},
        )
        self._model = model.eval()
        self._encode_spec = spec.encode
        self.tokens = Tokens(model.tokenizer, spec.path)
        self.longest = int(model.max_seq_length or spec.context_length)
        head = Path(spec.path) / sparse.FILE
        width = int(model[0].get_embedding_dimension())
        self._sparse = sparse.SparseHead(head, model.tokenizer, width) if head.exists() else None
        self._lower = bool(getattr(model[0], "do_lower_case", False))

    def abilities(self, *, tokens: int, items: int) -> EncodeAbilities:
        told = self._encode_spec
        return EncodeAbilities(
            batch_tokens=tokens,
            batch_items=items,
            padded=True,
            pooling=self._pooling(),
            dimensions=int(self._model.get_embedding_dimension()),
            normalised=type(self._model[-1]).__name__ == "Normalize",
            matryoshka=bool(told and told.smaller_dimensions),
            sparse=self._sparse is not None,
            prompts={name: text for name, text in self._model.prompts.items() if text},
        )

    def tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        texts = [item for item in items if not isinstance(item, Pair)]
        if len(texts) != len(items):
            raise InvalidRequest("An embedding model takes texts, not pairs of texts.")
        return self.tokens.texts(texts)

    def compute(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        made = self._model(batch)
        if self._sparse is None:
            return (made["sentence_embedding"],)
        return made["sentence_embedding"], self._sparse(made["token_embeddings"])

    def result(self, item: Encoded, *rows: NDArray[np.float32]) -> EmbedResult:
        if self._sparse is None:
            return EmbedResult(rows[0])
        return EmbedResult(rows[0], self._sparse.vector(item, rows[1]))

    def _pooling(self) -> str:
        for module in self._model:
            mode = getattr(module, "pooling_mode", None)
            if mode is not None:
                return mode if isinstance(mode, str) else "+".join(mode)
        return ""
