"""A small model of each kind, named by its path, launches."""

from __future__ import annotations

from pathlib import Path

from tests.support.launching import encodes, launched
from tests.unit.model.encode.sentence_transformers.small_models import (
    MINILM,
    save_cross_encoder,
    save_language_model,
)

ENGINE = "sentence_transformers"


def test_an_embedding_model(tmp_path: Path) -> None:
    encodes(launched(MINILM, ENGINE, tmp_path, device="cpu"), "embedding")


def test_a_cross_encoder(tmp_path: Path) -> None:
    save_cross_encoder(tmp_path / "bert-reranker", labels=1)
    encodes(launched(tmp_path / "bert-reranker", ENGINE, tmp_path, device="cpu"), "rerank")


def test_a_language_model_that_reranks(tmp_path: Path) -> None:
    path = tmp_path / "qwen3-reranker"
    save_language_model(path, "qwen3", ["<|im_start|>", "<|im_end|>"], ["yes", "no"])
    encodes(launched(path, ENGINE, tmp_path, device="cpu"), "rerank")
