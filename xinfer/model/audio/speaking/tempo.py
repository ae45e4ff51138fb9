"""Speech made faster or slower in the same pitch, by FFmpeg's filter."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

SLOWEST, FASTEST = 0.25, 4.0
_STEP = 2.0
"""The most that one filter does well."""


def with_tempo(samples: NDArray[np.int16], rate: int, speed: float) -> NDArray[np.int16]:
    """The same sound in 1/`speed` of the time."""
    if speed == 1.0 or not len(samples):
        return samples
    import av
    from av.filter import Graph

    graph = Graph()
    last = graph.add_abuffer(sample_rate=rate, format="s16", layout="mono", time_base=_base(rate))
    for factor in _factors(speed):
        following = graph.add("atempo", f"{factor:.6f}")
        last.link_to(following)
        last = following
    last.link_to(graph.add("abuffersink"))
    graph.configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples[None]), "s16", "mono")
    frame.sample_rate = rate
    frame.time_base = _base(rate)
    frame.pts = 0
    graph.push(frame)
    graph.push(None)
    parts: list[NDArray[np.int16]] = []
    while True:
        try:
            made = graph.pull()
        except (av.BlockingIOError, av.EOFError):
            break
        parts.append(made.to_ndarray()[0])
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)


def _factors(speed: float) -> list[float]:
    """Steps that together come to `speed`."""
    factors: list[float] = []
    while not 1 / _STEP <= speed <= _STEP:
        step = _STEP if speed > 1 else 1 / _STEP
        factors.append(step)
        speed /= step
    return [*factors, speed]


def _base(rate: int) -> Fraction:
    return Fraction(1, rate)
