"""Vectors against a forward pass in numpy, for every pooling and both kinds of model."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.support.gguf_encoders import PIECES, SEP, Array, Bert, Decoder, normalised, piece_ids
from tests.unit.model.encode.llama_cpp.opening import embedding, vectors
from xinfer.errors import InvalidRequest
from xinfer.model.encode_engine import Pair
from xinfer.model.llama_cpp.binding import library

TEXTS = ["the cat sat", "the running dogs", "sunny cats", "zebra the mat on the mat", ""]
LONG = "the sun is where the dog sat on the red cat " * 8

POOLINGS = {"mean": gguf.PoolingType.MEAN, "cls": gguf.PoolingType.CLS}
POOLINGS["last"] = gguf.PoolingType.LAST


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
    path = model.write(tmp_path / "a.gguf", POOLINGS[pooling])
    with embedding(path) as (engine, loaded):
        encoded = engine.tokenize(TEXTS[:4])
        found = vectors(engine.encode(encoded))
    for item, vector in zip(encoded, found, strict=True):
        np.testing.assert_allclose(vector, pooled(model.hidden(item.ids), pooling), atol=1e-4)
        assert abs(np.linalg.norm(vector) - 1) < 1e-6
    abilities = loaded.abilities.encode
    assert abilities is not None
    assert (abilities.pooling, abilities.dimensions, abilities.normalised) == (pooling, 64, True)


@pytest.mark.parametrize("flash_attn", ["auto", "on"])
def test_half_precision_attention_is_near(tmp_path: Path, flash_attn: str) -> None:
    model = Bert()
    path = model.write(tmp_path / "a.gguf", gguf.PoolingType.MEAN)
    with embedding(path, flash_attn=flash_attn) as (engine, _):
        encoded = engine.tokenize(TEXTS)
        found = vectors(engine.encode(encoded))
    for item, vector in zip(encoded, found, strict=True):
        np.testing.assert_allclose(vector, pooled(model.hidden(item.ids), "mean"), atol=2e-3)


def test_option_is_heard_before_the_file(tmp_path: Path) -> None:
    model = Bert()
    path = model.write(tmp_path / "a.gguf", gguf.PoolingType.MEAN)
    with embedding(path, pooling="cls") as (engine, loaded):
        encoded = engine.tokenize(TEXTS)
        found = vectors(engine.encode(encoded))
    assert loaded.abilities.encode is not None
    assert loaded.abilities.encode.pooling == "cls"
    for item, vector in zip(encoded, found, strict=True):
        np.testing.assert_allclose(vector, pooled(model.hidden(item.ids), "cls"), atol=1e-4)


@pytest.mark.parametrize("said", [None, gguf.PoolingType.NONE, gguf.PoolingType.RANK])
def test_file_that_does_not_say_how_to_pool_needs_the_option(
    tmp_path: Path, said: gguf.PoolingType | None
) -> None:
    model = Decoder()
    path = model.write(tmp_path / "a.gguf", said)
    with (
        pytest.raises(InvalidRequest, match="does not say how its tokens make") as raised,
        embedding(path),
    ):
        pass
    assert raised.value.param == "pooling"
    with embedding(path, pooling="last") as (engine, _):
        [item] = engine.tokenize([LONG])
        [vector] = vectors(engine.encode([item]))
    np.testing.assert_allclose(vector, pooled(model.hidden(item.ids), "last"), atol=1e-4)


@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("kind", [Bert, Decoder])
def test_item_longer_than_a_batch_is_computed_whole(
    tmp_path: Path, kind: type[Bert] | type[Decoder], pooling: str
) -> None:
    # Only a model that looks backwards and ends in its last token can do it in pieces.
    model = kind()
    path = model.write(tmp_path / "a.gguf", POOLINGS[pooling])
    with embedding(path, n_batch=32, n_parallel=5) as (engine, loaded):
        encoded = engine.tokenize([LONG, "the cat", LONG])
        assert 64 < len(encoded[0]) <= loaded.context_length
        found = vectors(engine.encode(encoded))
    for item, vector in zip(encoded, found, strict=True):
        np.testing.assert_allclose(vector, pooled(model.hidden(item.ids), pooling), atol=1e-4)


def test_text_stands_between_the_models_special_tokens(tmp_path: Path) -> None:
    path = Bert().write(tmp_path / "a.gguf", gguf.PoolingType.MEAN)
    with embedding(path) as (engine, _):
        sunny, empty, spelled = engine.tokenize(["sunny cats", "", f"red {SEP}"])
    assert sunny.ids == piece_ids("[CLS]", "▁sun", "ny", "▁cat", "s", "[SEP]")
    assert sunny.shortened(4).ids == piece_ids("[CLS]", "▁sun", "ny", "[SEP]")
    assert empty.ids == piece_ids("[CLS]", "[SEP]")
    assert empty.cut == (1, 1)
    assert spelled.ids == piece_ids("[CLS]", "▁red", "[SEP]", "[SEP]")


def test_decoders_text_ends_as_its_vocabulary_says(tmp_path: Path) -> None:
    model = Decoder()
    path = model.write(tmp_path / "a.gguf", gguf.PoolingType.LAST)
    with embedding(path) as (engine, _):
        [item] = engine.tokenize(["the world"])
    tokens = model.vocabulary.tokens
    assert [tokens[token] for token in item.ids] == ["the", "Ġworld", "<|im_end|>"]
    assert item.cut == (0, 2)


def test_pair_is_not_embedded(tmp_path: Path) -> None:
    path = Bert().write(tmp_path / "a.gguf", gguf.PoolingType.MEAN)
    with (
        embedding(path) as (engine, _),
        pytest.raises(InvalidRequest, match="takes texts, not pairs"),
    ):
        engine.tokenize([Pair("a", "b")])


def test_tokenizer_without_the_token_it_needs_is_refused(tmp_path: Path) -> None:
    path = Bert().write(tmp_path / "a.gguf", gguf.PoolingType.MEAN, bos=None)
    with (
        pytest.raises(InvalidRequest, match="a beginning-of-text token around every text"),
        embedding(path),
    ):
        pass


def test_default_length_keeps_the_output_buffer_in_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Bert(context=500).write(tmp_path / "a.gguf", gguf.PoolingType.MEAN)
    monkeypatch.setattr("xinfer.model.encode.llama_cpp.engine.OUTPUT_BYTES", 4 * len(PIECES) * 300)
    for options, longest in (({}, 300), ({"n_ctx": 400}, 400), ({"n_batch": 350}, 350)):
        with embedding(path, **{"n_batch": 64, **options}) as (_, loaded):
            assert loaded.context_length == longest


def test_more_items_than_tokens_in_a_batch_are_no_crash(tmp_path: Path) -> None:
    path = Bert().write(tmp_path / "a.gguf", gguf.PoolingType.MEAN)
    with embedding(path, n_batch=40, n_parallel=256) as (engine, loaded):
        assert loaded.concurrency == 40
        assert len(vectors(engine.encode(engine.tokenize(["red"] * 100)))) == 100


def test_model_of_encoder_and_decoder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Bert().write(tmp_path / "a.gguf", gguf.PoolingType.MEAN)
    monkeypatch.setattr(library(), "llama_model_has_encoder", lambda _: True)
    with pytest.raises(InvalidRequest, match="an encoder and a decoder"), embedding(path):
        pass
