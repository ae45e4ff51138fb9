"""A long recording in pieces that end where it is quiet, so that memory for one is enough."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xinfer.model.audio.decode import Samples

LONGEST = 300.0
"""Seconds of a piece."""
_SEARCHED = 30.0
"""Seconds at the end of a piece among which the quietest place is taken."""
_QUIET = 0.2
"""Seconds that are quiet together."""


def pieces(
    samples: Samples, *, rate: int, longest: float = LONGEST, searched: float = _SEARCHED
) -> Iterator[tuple[int, int]]:
    """Start and end of each piece, one after the other."""
    start = 0
    most = int(longest * rate)
    while len(samples) - start > most:
        begin = start + most - int(searched * rate)
        end = begin + _quietest(samples[begin : start + most], int(_QUIET * rate))
        yield start, end
        start = end
    yield start, len(samples)


def _quietest(samples: Samples, width: int) -> int:
    """The middle of the quietest stretch of so many samples."""
    count = max(1, len(samples) // width)
    rows = samples[: count * width].reshape(count, -1).astype(np.float32)
    row = int(np.square(rows).mean(axis=1).argmin())
    return row * width + width // 2
