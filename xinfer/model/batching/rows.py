"""Results as bytes: what goes over a link, and what an answer is rendered from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import EngineFailed
from xinfer.model.encode_engine import EmbedResult, Result


def as_bytes(results: Sequence[Result], dimensions: int | None, normalise: bool) -> bytes:
    """Little-endian float32, a row for each result.

    Args:
        dimensions: shorten vectors to this length.
        normalise: give them the length 1.
    """
    rows = np.stack([numbers(result) for result in results])[:, :dimensions]
    if normalise:
        norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        rows = rows / np.where(norms == 0, 1, norms)
    return rows.astype("<f4", copy=False).tobytes()


def sparse_rows(results: Sequence[Result]) -> list[bytes]:
    """Those of `SPARSE_ENTRY`, one for each result.

    Raises:
        EngineFailed: there is none, though the model is said to make them.
    """
    rows = []
    for result in results:
        if not isinstance(result, EmbedResult) or result.weights is None:
            raise EngineFailed("The engine made no sparse vector of a text.")
        rows.append(result.weights.tobytes())
    return rows


def numbers(result: Result) -> NDArray[np.float32]:
    """The vector, or the scores."""
    return result.vector if isinstance(result, EmbedResult) else result.scores
