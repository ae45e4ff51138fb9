"""Engines of this folder, loaded for as long as a test needs them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import XinferError
from xinfer.model.encode.sentence_transformers.engine import SentenceTransformersEngine
from xinfer.model.encode_engine import EmbedResult, RankResult, Result
from xinfer.model.engine import parse_options
from xinfer.types.model import Loaded, ModelSpec


@contextmanager
def opened(
    path: Path, kind: str, *, context: int = 0, **options: Any
) -> Iterator[tuple[SentenceTransformersEngine, Loaded]]:
    spec = ModelSpec(
        name="m",
        type=kind,
        format="pytorch",
        path=str(path),
        context_length=context,
    )
    own = {"n_threads": 1, "device": "cpu", **options}
    engine = SentenceTransformersEngine(
        spec, parse_options(SentenceTransformersEngine, "sentence_transformers", own)
    )
    try:
        yield engine, engine.load(lambda _: None)
    finally:
        engine.close()


def rows(results: Sequence[Result | XinferError]) -> NDArray[np.float32]:
    """Of results that are all there, as (items, numbers)."""
    return np.stack([_row(result) for result in results])


def _row(result: Result | XinferError) -> NDArray[np.float32]:
    if isinstance(result, EmbedResult):
        return result.vector
    assert isinstance(result, RankResult), result
    return result.scores
