"""Engines of this folder, loaded for as long as a test needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import XinferError
from xinfer.model.encode.xllamacpp.embedding import XllamacppEmbedding
from xinfer.model.encode.xllamacpp.rerank import XllamacppRerank
from xinfer.model.encode_engine import EmbedResult, RankResult, Result
from xinfer.model.engine import parse_options
from xinfer.types.model import Loaded, ModelSpec

EXACT = {"n_threads": 1, "flash_attn": "off", "cache_type_k": "f32", "cache_type_v": "f32"}
"""Without these llama.cpp takes attention in half precision, whatever the weights are."""


@contextmanager
def embedding(path: Path, **options: Any) -> Iterator[tuple[XllamacppEmbedding, Loaded]]:
    with _opened(XllamacppEmbedding, path, options) as opened:
        yield opened


@contextmanager
def rerank(path: Path, **options: Any) -> Iterator[tuple[XllamacppRerank, Loaded]]:
    with _opened(XllamacppRerank, path, options) as opened:
        yield opened


@contextmanager
def _opened(kind: Any, path: Path, options: dict[str, Any]) -> Iterator[tuple[Any, Loaded]]:
    spec = ModelSpec(name="m", type=kind.model_type, format="ggufv2", path=str(path))
    engine = kind(spec, parse_options(kind, "xllamacpp", {**EXACT, **options}))
    try:
        yield engine, engine.load(lambda _: None)
    finally:
        engine.close()


def numbers(results: Sequence[Result | XinferError]) -> list[NDArray[np.float32]]:
    """Of results that are all there."""
    return [_numbers(result) for result in results]


def _numbers(result: Result | XinferError) -> NDArray[np.float32]:
    if isinstance(result, EmbedResult):
        return result.vector
    assert isinstance(result, RankResult), result
    return result.scores
