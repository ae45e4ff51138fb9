"""Rerank models of .gguf files: cross-encoders with a head, and language models that say yes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.encode.prompts import PairPrompt, TemplatePrompt
from xinfer.model.encode.xllamacpp.engine import XllamacppEncoder
from xinfer.model.encode.xllamacpp.head import Head, check_readable
from xinfer.model.encode.xllamacpp.options import RerankOptions
from xinfer.model.encode.xllamacpp.tokenizer import GgufEncodeTokenizer
from xinfer.model.encode_engine import Encoded, Item, Pair, RankResult
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.types.model import EncodeAbilities, ModelSpec


class XllamacppRerank(XllamacppEncoder):
    """Scores of the model's classification head, the same as llama-server's.

    llama.cpp computes the text that the head looks at, and numpy the head: to its own one the
    wheel gives no way but by text, which cannot be shortened to an exact number of tokens.
    """

    model_type = "rerank"
    options_class = RerankOptions

    def __init__(self, spec: ModelSpec, options: RerankOptions) -> None:
        super().__init__(spec, options)
        self._head: Head | None = None
        self._prompt: PairPrompt | TemplatePrompt | None = None

    def _pooling(self, parts: Sequence[GgufMetadata]) -> str:
        return check_readable(parts)

    def _prepare(
        self, parts: Sequence[GgufMetadata], tokenizer: GgufEncodeTokenizer, width: int
    ) -> None:
        gguf = parts[0]
        self._head = Head(parts, width)
        template = gguf.values.get("tokenizer.chat_template.rerank")
        if isinstance(template, str):
            self._prompt = TemplatePrompt(tokenizer, template, gguf.path)
        else:
            self._prompt = PairPrompt(tokenizer, tokenizer.special_tokens())

    def _abilities(self, gguf: GgufMetadata, pooling: str, width: int) -> EncodeAbilities:
        assert self._head is not None
        labels = gguf.values.get(f"{gguf.architecture}.classifier.output_labels")
        return EncodeAbilities(
            batch_tokens=self._options.n_batch,
            batch_items=self._options.items,
            truncate=self._options.truncate,
            pooling="rank",
            scores=self._head.scores,
            labels=tuple(map(str, labels)) if isinstance(labels, list) else (),
            probabilities=self._head.probabilities,
        )

    def _tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        assert self._prompt is not None
        pairs = [item for item in items if isinstance(item, Pair)]
        if len(pairs) != len(items):
            raise InvalidRequest("A rerank model takes pairs of a query and a document.")
        return self._prompt.encode(pairs)

    def _result(self, row: NDArray[np.float32]) -> RankResult:
        assert self._head is not None
        return RankResult(self._head(row))
