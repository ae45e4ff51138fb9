"""tiny-embed and tiny-rerank are the same models in both of their forms, on both engines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.model.encode.sentence_transformers.opening import opened, rows
from tests.unit.model.encode.xllamacpp.opening import embedding, numbers, rerank
from training.tiny_encoders.score import PARAPHRASES, weights
from xinfer.model.encode_engine import Pair

PARAPHRASED: list[dict[str, Any]] = json.loads(PARAPHRASES.read_text(encoding="utf-8"))
TEXTS = [pair[name] for pair in PARAPHRASED for name in ("text", "same")]
TEXTS += ["", "Größe, façade: 100 %!", "[SEP] spelled", "汉字、 ½ and 😀", "word " * 200]
PAIRS = [Pair(pair["text"], other["same"]) for pair in PARAPHRASED[::4] for other in PARAPHRASED]

pytestmark = pytest.mark.filterwarnings("default")


def files(kind: str) -> tuple[Path, Path]:
    return weights(kind), weights(kind).parent


def test_vectors_of_both_forms_agree() -> None:
    gguf, directory = files("embed")
    with embedding(gguf) as (one, _), opened(directory, "embedding") as (other, loaded):
        encoded = one.tokenize(TEXTS)
        assert encoded == other.tokenize(TEXTS)
        ours, theirs = np.stack(numbers(one.encode(encoded))), rows(other.encode(encoded))
    assert loaded.context_length == 256
    assert (ours * theirs).sum(axis=1).min() > 0.9999


def test_scores_of_both_forms_agree() -> None:
    gguf, directory = files("rerank")
    with rerank(gguf) as (one, _), opened(directory, "rerank") as (other, _):
        encoded, again = one.tokenize(PAIRS), other.tokenize(PAIRS)
        assert [each.ids for each in encoded] == [each.ids for each in again]
        ours, theirs = np.stack(numbers(one.encode(encoded))), rows(other.encode(again))
    np.testing.assert_allclose(ours, theirs, atol=1e-2)
