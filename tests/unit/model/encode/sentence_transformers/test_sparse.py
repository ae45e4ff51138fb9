"""Sparse vectors, as FlagEmbedding makes them of bge-m3."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.model.encode.sentence_transformers.opening import opened
from tests.unit.model.encode.sentence_transformers.small_models import save_sparse_model
from xinfer.errors import InvalidRequest
from xinfer.model.encode.sentence_transformers.engine import SentenceTransformersEngine
from xinfer.model.encode_engine import EmbedResult

TEXTS = ["what is a cat", "a cat or a cat or a cat, and some bread of a cat", "", "zzz"]


def by_definition(path: Path, text: str) -> dict[int, float]:
    """One text at a time: the most that each token's weight comes to, without special tokens."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModel.from_pretrained(path).eval()
    head = torch.nn.Linear(model.config.hidden_size, 1)
    head.load_state_dict(torch.load(path / "sparse_linear.pt", weights_only=True))
    features = tokenizer(text, return_tensors="pt")
    with torch.inference_mode():
        weights = torch.relu(head(model(**features).last_hidden_state))[0, :, 0].tolist()
    special = {
        tokenizer.cls_token_id,
        tokenizer.sep_token_id,
        tokenizer.eos_token_id,
        tokenizer.pad_token_id,
        tokenizer.unk_token_id,
    }
    found: dict[int, float] = {}
    for token, weight in zip(features["input_ids"][0].tolist(), weights, strict=True):
        if weight > 0 and token not in special:
            found[token] = max(weight, found.get(token, 0.0))
    return found


def weights(engine: SentenceTransformersEngine, texts: list[str]) -> list[dict[int, float]]:
    made = []
    for result in engine.encode(engine.tokenize(texts)):
        assert isinstance(result, EmbedResult)
        assert result.weights is not None
        tokens = result.weights["token"].tolist()
        assert len(set(tokens)) == len(tokens)
        made.append(dict(zip(tokens, result.weights["weight"].tolist(), strict=True)))
    return made


def test_tokens_have_the_weights_that_the_definition_gives_them(tmp_path: Path) -> None:
    save_sparse_model(tmp_path)
    with opened(tmp_path, "embedding") as (engine, loaded):
        assert loaded.abilities.encode is not None
        assert loaded.abilities.encode.sparse
        together = weights(engine, TEXTS)
        alone = [weights(engine, [text])[0] for text in TEXTS]
        [dense] = engine.encode(engine.tokenize(TEXTS[:1]))
        assert isinstance(dense, EmbedResult)
        assert dense.vector.shape == (32,)
    assert len(together[1]) > 2
    for text, found, single in zip(TEXTS, together, alone, strict=True):
        assert found == pytest.approx(by_definition(tmp_path, text), abs=1e-5)
        assert single == pytest.approx(found, abs=1e-5)


def test_a_head_of_another_size_is_refused(tmp_path: Path) -> None:
    import torch

    save_sparse_model(tmp_path)
    torch.save({"weight": torch.zeros(1, 8), "bias": torch.zeros(1)}, tmp_path / "sparse_linear.pt")
    refused = pytest.raises(InvalidRequest, match=r"\(1, 8\).* needs \(1, 32\)")
    with refused, opened(tmp_path, "embedding"):
        pass


def test_a_head_that_would_run_code_is_refused(tmp_path: Path) -> None:
    import torch

    save_sparse_model(tmp_path)
    torch.save(np.float64.fromhex, tmp_path / "sparse_linear.pt")
    refused = pytest.raises(InvalidRequest, match="holds no weight and bias")
    with refused, opened(tmp_path, "embedding"):
        pass
