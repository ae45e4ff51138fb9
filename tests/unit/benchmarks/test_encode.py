"""The benchmarks' encoders are what they are said to be, and driving one counts what it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.direct_encode import WrongResult, encode
from benchmarks.direct_sentence_transformers import repeated
from benchmarks.encoder import Shape, encoder_path, text, write
from tests.support.encode_engine import BAD, LetterEngine
from xinfer.model.encode.llama_cpp.embedding import EmbeddingOptions, LlamaCppEmbedding
from xinfer.model.encode.llama_cpp.rerank import LlamaCppRerank, RerankOptions
from xinfer.model.encode_engine import Pair
from xinfer.model.inspect.model import inspect_path

SMALL = Shape(width=64, layers=1, feed_forward=128, heads=2)


def test_an_engine_is_given_whole_batches_until_there_are_enough() -> None:
    engine = LetterEngine()
    outcome = encode(engine, "abc", batch=4, count=10)
    assert (outcome.items, len(outcome.latencies)) == (12, 3)
    assert engine.batches == [["abc"] * 4] * 3
    assert outcome.processor.keys() == {"engine"}


def test_a_library_is_called_with_whole_batches_until_there_are_enough() -> None:
    calls: list[int] = []
    outcome = repeated(calls.append, batch=4, count=10)
    assert calls == [4, 4, 4]
    assert (outcome.items, len(outcome.latencies)) == (12, 3)


def test_a_text_without_a_result_is_not_counted() -> None:
    with pytest.raises(WrongResult):
        encode(LetterEngine(), BAD, batch=1, count=1)


def test_a_small_embedding_model_computes_a_text_of_so_many_tokens(tmp_path: Path) -> None:
    spec = inspect_path(str(write(tmp_path / "m.gguf", "embedding", SMALL)))
    assert spec.type == "embedding"
    engine = LlamaCppEmbedding(spec, EmbeddingOptions(n_threads=1))
    engine.load(lambda _: None)
    try:
        assert len(engine.tokenize([text(30, 1)])[0]) == 32
        assert encode(engine, text(30, 1), batch=8, count=8).items == 8
    finally:
        engine.close()


def test_a_small_rerank_model_computes_a_pair(tmp_path: Path) -> None:
    spec = inspect_path(str(write(tmp_path / "m.gguf", "rerank", SMALL)))
    assert spec.type == "rerank"
    engine = LlamaCppRerank(spec, RerankOptions(n_threads=1))
    engine.load(lambda _: None)
    try:
        assert encode(engine, Pair(text(5, 1), text(30, 2)), batch=8, count=8).items == 8
    finally:
        engine.close()


def test_the_models_have_twenty_million_parameters_or_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XINFER_BENCH_MODELS", str(tmp_path))
    path = encoder_path("embedding")
    size = inspect_path(str(path)).size_in_billions
    assert size is not None
    assert size >= 0.02
    assert encoder_path("embedding") == path
