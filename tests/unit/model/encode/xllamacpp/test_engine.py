"""Vectors and scores against forward passes in numpy, and ids against llama-cpp-python's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from tests.support.gguf_encoders import PIECES, Array, Bert, Decoder, normalised
from tests.unit.model.encode.llama_cpp import opening as reference
from tests.unit.model.encode.xllamacpp.opening import embedding, numbers, rerank
from xinfer.errors import Cancelled, EngineFailed, InvalidRequest
from xinfer.model.encode.xllamacpp.embedding import XllamacppEmbedding
from xinfer.model.encode.xllamacpp.rerank import XllamacppRerank
from xinfer.model.encode_engine import Encoded, EncodeEngine, Pair, SpellingEngine
from xinfer.types.model import ModelSpec

POOLINGS = {
    "mean": gguf.PoolingType.MEAN,
    "cls": gguf.PoolingType.CLS,
    "last": gguf.PoolingType.LAST,
}
RANK = gguf.PoolingType.RANK
WORDS = ["the", "cat", "sat", "on", "mat", "dogs", "running", "red", "where", "is", "sunny"]
TEXTS = ["the cat sat", "The running dogs!", "sunny cats", "zebra the mat on the mat", "[SEP] red"]
QUERIES = ["the dog", "the dog", "where is the [CLS] cat", ""]
DOCUMENTS = ["the red mat", "sunny", "the [SEP] mat", "the cat sat on the mat"]
PAIRS = [Pair(*both) for both in zip(QUERIES, DOCUMENTS, strict=True)]
TEMPLATE = "<|im_start|>user\nq: {query}\nd: {document}<|im_end|>\n"


def texts(count: int) -> list[str]:
    """Of 1 to 40 words."""
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS, random.integers(1, 41))) for _ in range(count)]


def pooled(hidden: Array, pooling: str) -> Array:
    if pooling == "mean":
        return normalised(hidden.mean(axis=0))
    return normalised(hidden[0] if pooling == "cls" else hidden[-1])


@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("kind", [Bert, Decoder])
def test_vectors_are_those_of_the_model(
    tmp_path: Path, kind: type[Bert] | type[Decoder], pooling: str
) -> None:
    model = kind()
    with embedding(model.write(tmp_path / "a.gguf", POOLINGS[pooling])) as (engine, loaded):
        encoded = engine.tokenize(TEXTS)
        found = numbers(engine.encode(encoded))
    for item, vector in zip(encoded, found, strict=True):
        np.testing.assert_allclose(vector, pooled(model.hidden(item.ids), pooling), atol=1e-4)
    abilities = loaded.abilities.encode
    assert abilities is not None
    assert (abilities.pooling, abilities.dimensions, abilities.normalised) == (pooling, 64, True)


@pytest.mark.parametrize("add_eos", [False, True])
@pytest.mark.parametrize("labels", [["relevance"], ["relevance", "other"]])
def test_scores_are_those_of_the_head(tmp_path: Path, labels: list[str], add_eos: bool) -> None:
    model = Bert(labels=labels)
    with rerank(model.write(tmp_path / "a.gguf", RANK, add_eos=add_eos)) as (engine, loaded):
        encoded = engine.tokenize(PAIRS)
        found = numbers(engine.encode(encoded))
    for item, scores in zip(encoded, found, strict=True):
        np.testing.assert_allclose(scores, model.scores(item.ids), atol=1e-4)
    abilities = loaded.abilities.encode
    assert abilities is not None
    assert (abilities.scores, abilities.labels) == (len(labels), tuple(labels))
    assert not abilities.probabilities


def test_probabilities_of_a_language_model_that_says_yes(tmp_path: Path) -> None:
    model = Decoder(labels=["yes", "no"])
    path = model.write(tmp_path / "a.gguf", RANK, template=TEMPLATE)
    with rerank(path) as (engine, loaded):
        encoded = engine.tokenize(PAIRS)
        found = numbers(engine.encode(encoded))
    for item, scores in zip(encoded, found, strict=True):
        np.testing.assert_allclose(scores, model.scores(item.ids), atol=1e-4)
    assert loaded.abilities.encode is not None
    assert loaded.abilities.encode.probabilities


@pytest.mark.parametrize("kind", ["bert", "bert+eos", "decoder", "decoder+template"])
def test_ids_are_those_of_the_compiled_engine(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.gguf"
    if kind.startswith("bert"):
        Bert(labels=["relevance"]).write(path, RANK, add_eos=kind.endswith("eos"))
    else:
        template = TEMPLATE if kind.endswith("template") else None
        Decoder(labels=["yes", "no"]).write(path, RANK, template=template)
    with rerank(path) as (engine, _), reference.rerank(path) as (other, _):
        assert engine.tokenize(PAIRS) == other.tokenize(PAIRS)
    model = Bert() if kind.startswith("bert") else Decoder()
    model.write(path, POOLINGS["mean"])
    with embedding(path) as (engine, _), reference.embedding(path) as (other, _):
        assert engine.tokenize([*TEXTS, "", " "]) == other.tokenize([*TEXTS, "", " "])


@pytest.mark.parametrize("kind", ["bert", "decoder", "rerank"])
def test_results_do_not_depend_on_the_rest_of_the_batch(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.gguf"
    if kind == "rerank":
        Bert(labels=["relevance"]).write(path, RANK)
    else:
        (Bert() if kind == "bert" else Decoder()).write(path, POOLINGS["last"])
    with rerank(path) if kind == "rerank" else embedding(path) as (engine, _):
        items = [Pair("red", text) if kind == "rerank" else text for text in texts(60)]
        encoded = engine.tokenize(items)
        together = numbers(engine.encode(encoded))
        order = np.random.default_rng(1).permutation(len(encoded))
        mixed = numbers(engine.encode([encoded[index] for index in order]))
        alone = [numbers(engine.encode([item]))[0] for item in encoded]
    for place, index in enumerate(order):
        # ggml takes GELU from a table of half-precision numbers, which a last bit can change.
        np.testing.assert_allclose(mixed[place], together[index], atol=1e-3)
    np.testing.assert_allclose(alone, together, atol=1e-3)


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("kind", [Bert, Decoder])
def test_item_longer_than_a_batch_is_computed_whole(
    tmp_path: Path, kind: type[Bert] | type[Decoder], pooling: str
) -> None:
    model = kind()
    path = model.write(tmp_path / "a.gguf", POOLINGS[pooling])
    with embedding(path, n_batch=32) as (engine, _):
        items = engine.tokenize(["the cat " * 55, "red", "the dog " * 40])
        assert len(items[0]) > 100
        found = numbers(engine.encode(items))
    for item, vector in zip(items, found, strict=True):
        np.testing.assert_allclose(vector, pooled(model.hidden(item.ids), pooling), atol=2e-4)


def test_what_llama_cpp_would_refuse_for_the_whole_batch_fails_alone(tmp_path: Path) -> None:
    model = Bert(context=32)
    with embedding(model.write(tmp_path / "a.gguf", POOLINGS["mean"])) as (engine, loaded):
        assert loaded.context_length == 32
        [good, long] = engine.tokenize(["the cat", "the cat " * 20])
        results = engine.encode(
            [long, good, Encoded([], (0, 0)), Encoded([len(PIECES)], (0, 1)), Encoded([-1], (0, 1))]
        )
        assert len(numbers(engine.encode([long.shortened(32)]))) == 1
        assert engine.stats().prompt_tokens == len(good) + 32
    errors = [result for index, result in enumerate(results) if index != 1]
    assert all(isinstance(error, InvalidRequest) for error in errors)
    assert "42 tokens are more than the 32" in str(errors[0])
    [vector] = numbers([results[1]])
    np.testing.assert_allclose(vector, normalised(model.hidden(good.ids).mean(axis=0)), atol=1e-4)


def test_what_is_not_a_number_fails_alone(tmp_path: Path) -> None:
    model = Bert()
    model.weights["token_embd.weight"][PIECES.index("▁red")] = np.nan
    with embedding(model.write(tmp_path / "a.gguf", POOLINGS["mean"])) as (engine, _):
        encoded = engine.tokenize(["the cat", "the red dog", "is"])
        results = engine.encode(encoded)
    assert isinstance(results[1], EngineFailed)
    for index in (0, 2):
        [vector] = numbers([results[index]])
        expected = normalised(model.hidden(encoded[index].ids).mean(axis=0))
        np.testing.assert_allclose(vector, expected, atol=2e-3)


def test_tokens_are_spelled_as_the_file_has_them(tmp_path: Path) -> None:
    with embedding(Bert().write(tmp_path / "a.gguf", POOLINGS["mean"])) as (engine, _):
        assert isinstance(engine, SpellingEngine)
        [item] = engine.tokenize(["the cats"])
        assert engine.spell(item.ids) == ["[CLS]", "▁the", "▁cat", "s", "[SEP]"]
        for token in (-1, len(PIECES)):
            with pytest.raises(InvalidRequest, match="has no token"):
                engine.spell([token])


def test_a_closed_engine_says_so(tmp_path: Path) -> None:
    with embedding(Bert().write(tmp_path / "a.gguf", POOLINGS["mean"])) as (engine, _):
        engine.close()
        for method in (engine.encode, engine.tokenize):
            with pytest.raises(Cancelled, match="unloaded"):
                method([])
        engine.close()


def test_file_that_does_not_say_how_to_pool_needs_the_option(tmp_path: Path) -> None:
    path = Decoder().write(tmp_path / "a.gguf", None)
    with pytest.raises(InvalidRequest, match="does not say how"), embedding(path):
        pass
    with embedding(path, pooling="last") as (engine, _):
        assert len(engine.encode(engine.tokenize(["the"]))) == 1


def test_kinds_of_items_are_told_apart(tmp_path: Path) -> None:
    bert = Bert(labels=["relevance"])
    with (
        rerank(bert.write(tmp_path / "a.gguf", RANK)) as (engine, _),
        pytest.raises(InvalidRequest, match="takes pairs"),
    ):
        engine.tokenize(["a text"])
    with (
        embedding(Bert().write(tmp_path / "b.gguf", POOLINGS["mean"])) as (other, _),
        pytest.raises(InvalidRequest, match="not pairs"),
    ):
        other.tokenize([PAIRS[0]])


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (ModelSpec(name="a", format="ggufv2", type="embedding"), ""),
        (ModelSpec(name="a", format="ggufv2", type="LLM"), "models of type LLM"),
        (ModelSpec(name="a", format="ggufv2", type="rerank"), "models of type rerank"),
        (ModelSpec(name="a", format="pytorch", type="embedding"), ".gguf files"),
    ],
)
def test_models_that_it_runs(spec: ModelSpec, reason: str) -> None:
    support = XllamacppEmbedding.support(spec)
    assert support.ok is not bool(reason)
    assert reason in support.reason


@pytest.mark.parametrize("kind", [XllamacppEmbedding, XllamacppRerank])
def test_engines_have_the_contract(kind: Any) -> None:
    spec = ModelSpec(name="a", format="ggufv2", type=kind.model_type)
    assert isinstance(kind(spec, kind.options()()), EncodeEngine)
