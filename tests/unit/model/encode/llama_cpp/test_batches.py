"""What is computed together does not show; what cannot be computed fails alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.gguf_encoders import PIECES, Bert, Decoder, normalised
from tests.support.waiting import eventually
from tests.unit.model.encode.llama_cpp.opening import embedding, rerank, vectors
from xinfer.errors import Cancelled, EngineFailed, InvalidRequest, Unavailable
from xinfer.model.encode.batches import groups
from xinfer.model.encode.llama_cpp.embedding import LlamaCppEmbedding
from xinfer.model.encode.llama_cpp.rerank import LlamaCppRerank
from xinfer.model.encode_engine import Encoded, EncodeEngine, Pair
from xinfer.types.model import ModelSpec

MEAN, LAST, RANK = gguf.PoolingType.MEAN, gguf.PoolingType.LAST, gguf.PoolingType.RANK

WORDS = ["the", "cat", "sat", "on", "mat", "dogs", "running", "red", "where", "is", "sunny"]


def texts(count: int) -> list[str]:
    """Of 1 to 40 words."""
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS, random.integers(1, 41))) for _ in range(count)]


@pytest.mark.parametrize("kind", ["bert", "decoder", "rerank"])
def test_results_do_not_depend_on_the_rest_of_the_batch(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.gguf"
    model = Decoder() if kind == "decoder" else Bert(labels=["relevance"])
    if isinstance(model, Bert):
        # ggml takes GELU from a table of half-precision numbers: the last bit of a sum, which may
        # depend on how many are computed at once, then moves a value to the table's next one.
        for layer in range(model.layers):
            model.weights[f"blk.{layer}.ffn_down.weight"][:] = 0
    model.write(path, RANK if kind == "rerank" else LAST)
    with rerank(path) if kind == "rerank" else embedding(path) as (engine, _):
        items = [Pair("red", text) if kind == "rerank" else text for text in texts(60)]
        encoded = engine.tokenize(items)
        together = vectors(engine.encode(encoded))
        order = np.random.default_rng(1).permutation(len(encoded))
        mixed = vectors(engine.encode([encoded[index] for index in order]))
        alone = [vectors(engine.encode([item]))[0] for item in encoded]
    for place, index in enumerate(order):
        np.testing.assert_allclose(mixed[place], together[index], atol=1e-5)
    np.testing.assert_allclose(alone, together, atol=1e-5)


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 64), st.integers(1, 9))
def test_groups_keep_to_the_budget_and_the_order(
    lengths: list[int], tokens: int, items: int
) -> None:
    made = list(groups(lengths, tokens=tokens, items=items))
    assert [index for group in made for index in group] == list(range(len(lengths)))
    for group in made:
        assert 0 < len(group) <= items
        assert sum(lengths[index] for index in group) <= tokens or len(group) == 1
    for one, other in pairwise(made):
        full = sum(lengths[index] for index in one) + lengths[other[0]] > tokens
        assert full or len(one) == items


def test_a_batch_takes_as_many_steps_as_its_budget_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Bert().write(tmp_path / "a.gguf", MEAN)
    with embedding(path, n_batch=32, n_parallel=8) as (engine, loaded):
        assert engine._context is not None
        steps = []
        compute = engine._context.compute
        monkeypatch.setattr(
            engine._context, "compute", lambda ids: steps.append(len(ids)) or compute(ids)
        )
        found = vectors(engine.encode([Encoded([4, 5, 6], (0, 3))] * 30))
    assert steps == [8, 8, 8, 6]
    assert len(found) == 30
    assert loaded.abilities.encode is not None
    assert (loaded.abilities.encode.batch_tokens, loaded.abilities.encode.batch_items) == (32, 8)


def test_what_llama_cpp_would_not_survive_fails_alone(tmp_path: Path) -> None:
    model = Bert(context=32)
    with embedding(model.write(tmp_path / "a.gguf", MEAN)) as (engine, loaded):
        assert loaded.context_length == 32
        [good] = engine.tokenize(["the cat"])
        [long] = engine.tokenize(["the cat " * 20])
        assert len(long) == 42
        results = engine.encode(
            [long, good, Encoded([], (0, 0)), Encoded([len(PIECES)], (0, 1)), Encoded([-1], (0, 1))]
        )
        assert len(vectors(engine.encode([long.shortened(32)]))) == 1
    errors = [result for index, result in enumerate(results) if index != 1]
    assert all(isinstance(error, InvalidRequest) for error in errors)
    assert "42 tokens are more than the 32" in str(errors[0])
    [vector] = vectors([results[1]])
    np.testing.assert_allclose(vector, normalised(model.hidden(good.ids).mean(axis=0)), atol=1e-4)


@pytest.mark.parametrize("flash_attn", ["off", "on"])
@pytest.mark.parametrize("kind", [Bert, Decoder])
def test_what_is_not_a_number_fails_alone(
    tmp_path: Path, kind: type[Bert] | type[Decoder], flash_attn: str
) -> None:
    model = kind()
    tokens = PIECES if isinstance(model, Bert) else model.vocabulary.tokens
    bad = tokens.index("▁red" if isinstance(model, Bert) else "Ġworld")
    model.weights["token_embd.weight"][bad] = np.nan
    some = ["the cat", "the world red", "is", "sat on the mat"]
    with embedding(model.write(tmp_path / "a.gguf", LAST), flash_attn=flash_attn) as (engine, _):
        encoded = engine.tokenize(some)
        results = engine.encode(encoded)
        after = engine.encode(encoded[2:])
    assert isinstance(results[1], EngineFailed)
    good = [results[0], *results[2:], *after]
    for item, vector in zip([encoded[0], *encoded[2:], *encoded[2:]], vectors(good), strict=True):
        np.testing.assert_allclose(vector, normalised(model.hidden(item.ids)[-1]), atol=2e-3)


def test_empty_batch_is_an_empty_answer(tmp_path: Path) -> None:
    with embedding(Bert().write(tmp_path / "a.gguf", MEAN)) as (engine, _):
        assert engine.tokenize([]) == []
        assert engine.encode([]) == []


def test_tokens_that_were_computed_are_counted(tmp_path: Path) -> None:
    with embedding(Bert(context=32).write(tmp_path / "a.gguf", MEAN)) as (engine, _):
        encoded = engine.tokenize(["the cat", "red", "the cat " * 20])
        engine.encode(encoded)
        assert engine.stats().prompt_tokens == len(encoded[0]) + len(encoded[1])


def test_closing_ends_what_is_computed_and_tokenizing_goes_on_beside_it(tmp_path: Path) -> None:
    path = Decoder(width=256, heads=4, layers=8, context=8192).write(tmp_path / "a.gguf", LAST)
    with embedding(path) as (engine, _), ThreadPoolExecutor(1) as pool:
        long = Encoded([5] * 8000, (0, 8000))
        running = pool.submit(engine.encode, [long] * 50)
        eventually(lambda: engine.stats().running == 50, what="the computation")
        assert len(engine.tokenize(["the cat"])) == 1
        assert not running.done()
        engine.close()
        with pytest.raises(Cancelled, match="unloaded"):
            running.result()
        for method in (engine.encode, engine.tokenize):
            with pytest.raises(Cancelled, match="unloaded"):
                method([])
        engine.close()


def test_no_memory_is_said_to_be_no_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with embedding(Bert().write(tmp_path / "a.gguf", MEAN)) as (engine, _):
        assert engine._context is not None
        item = Encoded([4], (0, 1))
        for code, kind in ((-2, Unavailable), (-3, EngineFailed), (1, EngineFailed)):
            monkeypatch.setattr(engine._context, "_compute", lambda *_, code=code: code)
            with pytest.raises(kind):
                engine.encode([item])
        monkeypatch.undo()
        assert len(vectors(engine.encode([item]))) == 1


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
    support = LlamaCppEmbedding.support(spec)
    assert support.ok is not bool(reason)
    assert reason in support.reason


def test_what_is_not_installed_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinfer.model.encode.llama_cpp.engine.installed", lambda: False)
    support = LlamaCppRerank.support(ModelSpec(name="a", format="ggufv2", type="rerank"))
    assert not support.ok
    assert support.extra == "llama-cpp"


@pytest.mark.parametrize("kind", [LlamaCppEmbedding, LlamaCppRerank])
def test_engines_have_the_contract(kind: type[LlamaCppEmbedding | LlamaCppRerank]) -> None:
    spec = ModelSpec(name="a", format="ggufv2", type=kind.model_type)
    assert isinstance(kind(spec, kind.options()()), EncodeEngine)
