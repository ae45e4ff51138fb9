"""Rerank models of .gguf files: cross-encoders with a head, and language models that say yes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.encode.llama_cpp.engine import LlamaCppEncoder
from xinfer.model.encode.llama_cpp.options import RerankOptions
from xinfer.model.encode.llama_cpp.prompts import special_tokens
from xinfer.model.encode.prompts import PairPrompt, TemplatePrompt
from xinfer.model.encode_engine import Encoded, Item, Pair, RankResult
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llama_cpp.binding import library
from xinfer.model.llama_cpp.model import LlamaModel
from xinfer.types.model import EncodeAbilities, ModelSpec

SOFTMAX_ARCHITECTURES = ("qwen3", "qwen3vl")
"""Those whose scores llama.cpp itself makes probabilities."""


class LlamaCppRerank(LlamaCppEncoder):
    """Scores of the model's classification head, the same as llama-server's."""

    model_type = "rerank"
    options_class = RerankOptions

    def __init__(self, spec: ModelSpec, options: RerankOptions) -> None:
        super().__init__(spec, options)
        self._prompt: PairPrompt | TemplatePrompt | None = None

    def _pooling(self, parts: Sequence[GgufMetadata]) -> str:
        _check_head(parts)
        return "rank"

    def _prepare(self, model: LlamaModel, gguf: GgufMetadata) -> None:
        template = gguf.values.get("tokenizer.chat_template.rerank")
        if isinstance(template, str):
            self._prompt = TemplatePrompt(model, template, gguf.path)
        else:
            self._prompt = PairPrompt(model, special_tokens(model, gguf.path))

    def _width(self, model: LlamaModel) -> int:
        width: int = library().llama_model_n_cls_out(model.pointer)
        return width

    def _abilities(self, model: LlamaModel, gguf: GgufMetadata, pooling: str) -> EncodeAbilities:
        return EncodeAbilities(
            batch_tokens=self._options.n_batch,
            batch_items=self._options.items,
            truncate=self._options.truncate,
            pooling=pooling,
            scores=self._width(model),
            labels=_labels(gguf),
            probabilities=gguf.architecture in SOFTMAX_ARCHITECTURES,
        )

    def _tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        assert self._prompt is not None
        pairs = [item for item in items if isinstance(item, Pair)]
        if len(pairs) != len(items):
            raise InvalidRequest("A rerank model takes pairs of a query and a document.")
        return self._prompt.encode(pairs)

    def _result(self, row: NDArray[np.float32]) -> RankResult:
        return RankResult(row)


def _labels(gguf: GgufMetadata) -> tuple[str, ...]:
    labels = gguf.values.get(f"{gguf.architecture}.classifier.output_labels")
    return tuple(map(str, labels)) if isinstance(labels, list) else ()


def _check_head(parts: Sequence[GgufMetadata]) -> None:
    """Check that the model makes a score for each of its labels.

    Raises:
        InvalidRequest: without a head llama.cpp takes numbers of the hidden state for scores, and
            with one too small for the labels it ends the process.
    """
    gguf = parts[0]
    sizes = {tensor.name: tensor.elements for part in parts for tensor in part.tensors}
    if "cls.output.weight" in sizes:  # llama.cpp itself compares it with the labels
        return
    width = gguf.values.get(f"{gguf.architecture}.embedding_length", 0)
    labels = max(1, len(_labels(gguf)))
    if sizes.get("cls.weight") != width * labels or not width:
        raise InvalidRequest(
            f"{gguf.path} is no rerank model: it has no classification head that makes "
            f"{labels} score{'s' if labels > 1 else ''}.",
            param="model_path",
        )
