"""Scores against a forward pass in numpy, and pairs in the model's tokens."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.support.gguf_encoders import Bert, Decoder, piece_ids
from tests.unit.model.encode.llama_cpp.opening import rerank, vectors
from xinfer.errors import InvalidRequest
from xinfer.model.encode_engine import Pair

RANK = gguf.PoolingType.RANK
TEMPLATE = "<|im_start|>Find: {query}\nIn: {document}<|im_end|>\nSo? "
DOCUMENTS = ["the cat sat on the mat", "the sun is red", "dogs run", ""]
PAIRS = [Pair("where is the cat", document) for document in DOCUMENTS]


@pytest.mark.parametrize("labels", [["relevance"], ["yes", "no", "perhaps"]])
def test_cross_encoders_scores_are_those_of_its_head(tmp_path: Path, labels: list[str]) -> None:
    model = Bert(labels=labels)
    with rerank(model.write(tmp_path / "a.gguf", RANK)) as (engine, loaded):
        encoded = engine.tokenize(PAIRS)
        found = vectors(engine.encode(encoded))
    for item, scores in zip(encoded, found, strict=True):
        np.testing.assert_allclose(scores, model.scores(item.ids), atol=1e-4)
    abilities = loaded.abilities.encode
    assert abilities is not None
    assert (abilities.scores, abilities.labels) == (len(labels), tuple(labels))
    assert not abilities.probabilities


def test_language_models_scores_are_its_labels_probabilities(tmp_path: Path) -> None:
    model = Decoder(labels=["yes", "no"])
    path = model.write(tmp_path / "a.gguf", RANK, template=TEMPLATE)
    with rerank(path, n_batch=32) as (engine, loaded):
        encoded = engine.tokenize(PAIRS)
        assert len(encoded[0]) > 32  # in pieces
        found = vectors(engine.encode(encoded))
    for item, scores in zip(encoded, found, strict=True):
        np.testing.assert_allclose(scores, model.scores(item.ids), atol=1e-4)
        assert abs(scores.sum() - 1) < 1e-5
    assert loaded.abilities.encode is not None
    assert loaded.abilities.encode.probabilities


@pytest.mark.parametrize(
    ("add_eos", "end"), [(False, []), (True, ["[SEP]"])], ids=["separator", "ends"]
)
def test_pair_is_put_together_by_the_vocabularys_flags(
    tmp_path: Path, add_eos: bool, end: list[str]
) -> None:
    path = Bert(labels=["relevance"]).write(tmp_path / "a.gguf", RANK, add_eos=add_eos)
    with rerank(path) as (engine, _):
        first, second = engine.tokenize([Pair("the cat", "sunny [SEP]"), Pair("red", "the cat")])
    spelled = ["[UNK]"] * 3  # of a control token in a text nothing is left but punctuation
    assert first.ids == piece_ids(
        "[CLS]", "▁the", "▁cat", *end, "[SEP]", "▁sun", "ny", *spelled, *end
    )
    assert second.ids == piece_ids("[CLS]", "▁red", *end, "[SEP]", "▁the", "▁cat", *end)
    kept = piece_ids("[CLS]", "▁the", "▁cat", *end, "[SEP]", "▁sun", *end)
    assert first.shortened(len(kept)).ids == kept


def test_template_is_filled_as_one_text(tmp_path: Path) -> None:
    model = Decoder(labels=["yes", "no"])
    tokens = model.vocabulary.tokens
    with rerank(model.write(tmp_path / "a.gguf", RANK, template=TEMPLATE)) as (engine, _):
        item, other = engine.tokenize([Pair("the", " world is"), Pair("{document}", "{query}")])
    pieces = [tokens[token] for token in item.ids]
    assert "".join(pieces) == "<|im_start|>Find:ĠtheĊIn:ĠĠworldĠis<|im_end|>ĊSo?Ġ"
    assert pieces.index("<|im_start|>") == 0
    start, end = item.cut
    assert "".join(pieces[start:end]) == "ĠworldĠis"
    assert "Find:Ġ{document}ĊIn:Ġ{query}<" in "".join(tokens[token] for token in other.ids)


def test_document_cannot_end_its_part_of_the_template(tmp_path: Path) -> None:
    model = Decoder(labels=["yes", "no"])
    end = model.vocabulary.tokens.index("<|im_end|>")
    with rerank(model.write(tmp_path / "a.gguf", RANK, template=TEMPLATE)) as (engine, _):
        for pair in (Pair("the<|im_end|>", "a"), Pair("the", "<|im_end|>a")):
            [item] = engine.tokenize([pair])
            assert item.ids.count(end) == 1
            start, stop = item.cut
            assert item.ids[stop] == end
            assert stop - start == (1 if pair.document == "a" else len("<|im_end|>a"))


@pytest.mark.parametrize("template", ["{query}", "{document}{document}{query}"])
def test_template_needs_one_place_for_each(tmp_path: Path, template: str) -> None:
    path = Decoder(labels=["yes", "no"]).write(tmp_path / "a.gguf", RANK, template=template)
    with (
        pytest.raises(InvalidRequest, match=r"template for reranking has \{document\} \d"),
        rerank(path),
    ):
        pass


def test_model_without_a_head_is_refused(tmp_path: Path) -> None:
    path = Bert().write(tmp_path / "a.gguf", RANK)
    with (
        pytest.raises(InvalidRequest, match="no classification head that makes 1 score"),
        rerank(path),
    ):
        pass


def test_head_with_fewer_scores_than_labels_is_refused(tmp_path: Path) -> None:
    model = Bert(labels=["relevance"] * 100)
    del model.weights.values["cls.output.weight"], model.weights.values["cls.output.bias"]
    path = model.write(tmp_path / "a.gguf", RANK)
    with (
        pytest.raises(InvalidRequest, match="no classification head that makes 100 scores"),
        rerank(path),
    ):
        pass


def test_text_is_not_ranked(tmp_path: Path) -> None:
    path = Bert(labels=["relevance"]).write(tmp_path / "a.gguf", RANK)
    with (
        rerank(path) as (engine, _),
        pytest.raises(InvalidRequest, match="pairs of a query and a document"),
    ):
        engine.tokenize(["red"])
