"""Rerank models with a classification head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.encode.tokens import Tokens
from xinfer.model.encode_engine import Encoded, Item, Pair, RankResult
from xinfer.model.torch_device import Place
from xinfer.types.model import EncodeAbilities, ModelSpec

if TYPE_CHECKING:
    from torch import Tensor


class CrossEncoderModel:
    """Scores as `CrossEncoder.predict` makes them, before any sigmoid or softmax."""

    def __init__(self, spec: ModelSpec, place: Place) -> None:
        from sentence_transformers import CrossEncoder

        model: Any = CrossEncoder(
            spec.path,
            device=place.device,
            local_files_only=True,
            trust_remote_code=bool(spec.remote_code),
            model_kwargs={"dtype": place.dtype},
        )
        self._model = model.eval()
        self.tokens = Tokens(model.tokenizer, spec.path)
        self.longest = int(model.max_seq_length or spec.context_length)
        self.second_type = self.tokens.second_type
        self._scores = int(model.num_labels)
        names = getattr(model.config, "id2label", None) or {}
        self._labels = tuple(str(names[number]) for number in sorted(names))

    def abilities(self, *, tokens: int, items: int) -> EncodeAbilities:
        return EncodeAbilities(
            batch_tokens=tokens,
            batch_items=items,
            padded=True,
            pooling="rank",
            scores=self._scores,
            labels=self._labels,
        )

    def tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        texts = [item for item in items if not isinstance(item, Pair)]
        if self._scores > 1 and len(texts) == len(items):  # a classifier of texts
            return self.tokens.texts(texts)
        return self.tokens.pairs(pairs_only(items))

    def compute(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        scores: Tensor = self._model(batch)["scores"]
        return (scores.reshape(len(scores), -1),)

    def result(self, item: Encoded, *rows: NDArray[np.float32]) -> RankResult:
        return RankResult(rows[0])


def pairs_only(items: Sequence[Item]) -> list[Pair]:
    """All of the items, which are pairs.

    Raises:
        InvalidRequest: one is not.
    """
    pairs = [item for item in items if isinstance(item, Pair)]
    if len(pairs) != len(items):
        raise InvalidRequest("A rerank model takes pairs of a query and a document.")
    return pairs
