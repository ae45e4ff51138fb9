"""Scores of cross-encoders and of language models, against the libraries they come with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.model.encode.sentence_transformers.opening import opened, rows
from tests.unit.model.encode.sentence_transformers.small_models import (
    save_cross_encoder,
    save_language_model,
)
from xinfer.errors import InvalidRequest
from xinfer.model.encode.sentence_transformers.generative import QUESTIONS
from xinfer.model.encode_engine import Pair

PAIRS = [
    Pair("what is a cat", "A cat is an animal."),
    Pair("what is a cat", "Bread is baked in the morning, and eaten in the evening. " * 3),
    Pair("", "nothing asked"),
    Pair("yes or no", ""),
    Pair("{query} of", "in {braces}"),
]
QWEN = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]

pytestmark = pytest.mark.filterwarnings("default")


class Reference:
    """A saved language model, as its card has it used: one prompt at a time, all logits."""

    def __init__(self, path: Path) -> None:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(path)
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
        self._model = model.eval()

    def ids(self, parts: Sequence[str]) -> list[int]:
        return [token for part in parts for token in self.tokenizer(part)["input_ids"]]

    def logits(self, ids: list[int], words: Sequence[str]) -> list[float]:
        """Of these words as the next token."""
        import torch

        with torch.inference_mode():
            last = self._model(torch.tensor([ids])).logits[0, -1]
        return [last[self.tokenizer.convert_tokens_to_ids(word)].item() for word in words]


def test_a_classifier_takes_texts_by_themselves(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    texts = ["a cat", "", "bread is baked in the morning " * 5]
    save_cross_encoder(tmp_path, labels=3)
    with opened(tmp_path, "rerank") as (engine, _):
        found = rows(engine.encode(engine.tokenize(texts)))
    tokenizer: Any = AutoTokenizer.from_pretrained(tmp_path)
    model: Any = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    with torch.inference_mode():
        direct = [model(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts]
    np.testing.assert_allclose(found, np.stack([row.numpy() for row in direct]), atol=1e-5)


def test_a_reranker_of_one_score_takes_no_texts_by_themselves(tmp_path: Path) -> None:
    save_cross_encoder(tmp_path, labels=1)
    refused = pytest.raises(InvalidRequest, match="pairs of a query and a document")
    with opened(tmp_path, "rerank") as (engine, _), refused:
        engine.tokenize(["a cat"])


@pytest.mark.parametrize("labels", [1, 3])
def test_a_cross_encoders_scores_are_those_of_predict(tmp_path: Path, labels: int) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    save_cross_encoder(tmp_path, labels=labels)
    with opened(tmp_path, "rerank", batch_tokens=64) as (engine, loaded):
        encoded = engine.tokenize(PAIRS)
        found = rows(engine.encode(encoded))
        shortened = rows(engine.encode([encoded[1].shortened(20)]))
    texts = [[pair.query, pair.document] for pair in PAIRS]
    bare: Any = torch.nn.Identity()
    direct = CrossEncoder(str(tmp_path), device="cpu")
    expected = direct.predict(texts, activation_fn=bare).reshape(len(PAIRS), labels)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found) > 0.01
    cut = CrossEncoder(str(tmp_path), device="cpu", max_length=20)
    expected = cut.predict(texts[1:2], activation_fn=bare).reshape(1, labels)
    np.testing.assert_allclose(shortened, expected, atol=1e-5)
    abilities = loaded.abilities.encode
    assert abilities is not None
    assert (abilities.scores, len(abilities.labels)) == (labels, labels)
    assert not abilities.probabilities


def test_qwen3_says_yes_as_its_model_card_has_it(tmp_path: Path) -> None:
    save_language_model(tmp_path, "qwen3", QWEN, ["yes", "no"])
    with opened(tmp_path, "rerank", context=512) as (engine, loaded):
        encoded = engine.tokenize(PAIRS)
        found = rows(engine.encode(encoded))[:, 0]
    assert loaded.context_length == 512
    reference, question = Reference(tmp_path), QUESTIONS["qwen3"]
    for pair, item, score in zip(PAIRS, encoded, found, strict=True):
        body = (
            f"<Instruct>: {question.instruction}\n<Query>: {pair.query}\n"
            f"<Document>: {pair.document}"
        )
        assert item.ids == reference.ids([*question.begin, body, *question.after])
        own = reference.tokenizer.decode(item.ids[item.cut[0] : item.cut[1]])
        assert own.strip() == pair.document.strip()
        no, yes = reference.logits(item.ids, ["no", "yes"])
        expected = np.exp(yes) / (np.exp(yes) + np.exp(no))
        assert abs(1 / (1 + np.exp(-score)) - expected) < 1e-5
    assert np.ptp(found) > 0.01


def test_gemmas_score_is_the_logit_of_yes(tmp_path: Path) -> None:
    save_language_model(tmp_path, "gemma", ["<bos>", "<eos>", "<pad>"], ["Yes"])
    with opened(tmp_path, "rerank", context=512) as (engine, _):
        encoded = engine.tokenize(PAIRS)
        found = rows(engine.encode(encoded))[:, 0]
    reference, asked = Reference(tmp_path), QUESTIONS["gemma"].instruction
    for pair, item, score in zip(PAIRS, encoded, found, strict=True):
        parts = ("<bos>", f"A: {pair.query}", "\n", f"B: {pair.document}", "\n", asked)
        assert item.ids == reference.ids(parts)
        [expected] = reference.logits(item.ids, ["Yes"])
        assert abs(score - expected) < 1e-4
    assert np.ptp(found) > 0.01


def test_an_instruction_of_the_launch_takes_the_place_of_the_models_own(tmp_path: Path) -> None:
    save_language_model(tmp_path, "qwen3", QWEN, ["yes", "no"])
    options: dict[str, Any] = {"context": 512, "instruction": "Find cats."}
    with opened(tmp_path, "rerank", **options) as (engine, _):
        [item] = engine.tokenize(PAIRS[:1])
    text = Reference(tmp_path).tokenizer.decode(item.ids)
    assert "<Instruct>: Find cats.\n<Query>: what is a cat\n" in text


def test_control_tokens_that_a_client_spells_stay_text(tmp_path: Path) -> None:
    save_language_model(tmp_path, "qwen3", QWEN, ["yes", "no"])
    with opened(tmp_path, "rerank", context=512) as (engine, _):
        plain, spelled = engine.tokenize([Pair("a", "b"), Pair("a <|im_end|>", "b <|im_start|>")])
        for token in ("<|im_start|>", "<|im_end|>"):
            counts = [engine.spell(item.ids).count(token) for item in (plain, spelled)]
            assert counts[0] == counts[1] > 0


def test_a_language_model_of_another_family_is_refused(tmp_path: Path) -> None:
    save_language_model(tmp_path, "llama", ["<s>"], ["yes"])
    with (
        pytest.raises(InvalidRequest, match=r"of type llama.*known of: qwen3, gemma"),
        opened(tmp_path, "rerank"),
    ):
        pass


def test_rerank_models_take_pairs_only(tmp_path: Path) -> None:
    save_cross_encoder(tmp_path, labels=1)
    with (
        opened(tmp_path, "rerank") as (engine, _),
        pytest.raises(InvalidRequest, match="takes pairs"),
    ):
        engine.tokenize(["a text"])
