"""Language models that rerank: asked whether a document answers a query, they say yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.encode.sentence_transformers.cross_encoder import pairs_only
from xinfer.model.encode.tokens import Tokens
from xinfer.model.encode_engine import Encoded, Item, RankResult
from xinfer.model.torch_device import Place
from xinfer.types.model import EncodeAbilities, ModelSpec

if TYPE_CHECKING:
    from torch import Tensor


class Question(NamedTuple):
    """How a family of models was trained to be asked; each part is tokenized by itself."""

    begin: tuple[str, ...]
    """In which control tokens are recognised, unlike in what clients send."""
    query: tuple[str, ...]
    """With `{instruction}` and `{query}`."""
    document: str
    """With all of these, and ends in the document."""
    after: tuple[str, ...]
    """As `begin`, with `{instruction}`."""
    instruction: str
    yes: str
    no: str | None
    """None where the score is that of yes alone."""


QUESTIONS = {
    "qwen3": Question(
        begin=(
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the "
            'Query and the Instruct provided. Note that the answer can only be "yes" or "no".'
            "<|im_end|>\n<|im_start|>user\n",
        ),
        query=(),
        document="<Instruct>: {instruction}\n<Query>: {query}\n<Document>: ",
        after=("<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",),
        instruction="Given a web search query, retrieve relevant passages that answer the query",
        yes="yes",
        no="no",
    ),
    "gemma": Question(
        begin=("<bos>",),
        query=("A: {query}", "\n"),
        document="B: ",
        after=("\n", "{instruction}"),
        instruction="Given a query A and a passage B, determine whether the passage contains an "
        "answer to the query by providing a prediction of either 'Yes' or 'No'.",
        yes="Yes",
        no=None,
    ),
}
"""By `model_type` of config.json: Qwen3-Reranker, bge-reranker-v2-gemma."""


class GenerativeModel:
    """The logit of yes, less that of no where the family was trained so."""

    second_type = 0

    def __init__(self, spec: ModelSpec, place: Place, *, instruction: str | None) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model: Any = AutoModelForCausalLM.from_pretrained(
            spec.path, dtype=place.dtype, local_files_only=True
        )
        family = str(model.config.model_type)
        if family not in QUESTIONS:
            raise InvalidRequest(
                f"{spec.path} is a language model of type {family}. How such a one is asked to "
                f"rerank is known of: {', '.join(QUESTIONS)}.",
                param="model_path",
            )
        self._model = model.eval().to(place.device)
        tokenizer = AutoTokenizer.from_pretrained(spec.path, local_files_only=True)
        self.tokens = Tokens(tokenizer, spec.path)
        self.longest = int(spec.context_length or model.config.max_position_embeddings)
        self._question = QUESTIONS[family]
        self._instruction = instruction or self._question.instruction
        question = self._question
        self._answers = [self.tokens.token(one) for one in (question.yes, question.no) if one]
        said = {"instruction": self._instruction}
        self._begin = self._joined(question.begin, control=True)
        after = [part.format(**said) for part in question.after]
        self._after = self._joined(after, control=True)

    def abilities(self, *, tokens: int, items: int) -> EncodeAbilities:
        return EncodeAbilities(
            batch_tokens=tokens, batch_items=items, padded=True, pooling="rank", scores=1
        )

    def tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        question, pairs = self._question, pairs_only(items)
        heads: dict[str, list[int]] = {}
        before = []
        for pair in pairs:
            said = {"instruction": self._instruction, "query": pair.query}
            if pair.query not in heads:
                parts = [part.format(**said) for part in question.query]
                heads[pair.query] = [*self._begin, *self._joined(parts)]
            before.append(question.document.format(**said))
        texts = [one + pair.document for one, pair in zip(before, pairs, strict=True)]
        found = self.tokens.alone(texts, control=False)
        encoded = []
        for pair, start, body in zip(pairs, before, found, strict=True):
            head = heads[pair.query]
            ids = [*head, *body.ids, *self._after]
            # A token that holds a bit of the document goes with it.
            own = sum(1 for _, end in body.offsets if end <= len(start))
            encoded.append(Encoded(ids, (len(head) + own, len(ids) - len(self._after))))
        return encoded

    def _joined(self, parts: Sequence[str], *, control: bool = False) -> list[int]:
        found = self.tokens.alone(parts, control=control)
        return [token for one in found for token in one.ids]

    def compute(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        import torch

        hidden = self._model.base_model(**batch, use_cache=False).last_hidden_state
        last = batch["attention_mask"].sum(dim=1) - 1
        rows = hidden[torch.arange(len(last), device=hidden.device), last]
        # Two of the many thousand rows of the output layer.
        logits = rows @ self._model.get_output_embeddings().weight[self._answers].T
        scores: Tensor = logits[:, :1] if len(self._answers) == 1 else logits[:, :1] - logits[:, 1:]
        return (scores,)

    def result(self, item: Encoded, *rows: NDArray[np.float32]) -> RankResult:
        return RankResult(rows[0])
