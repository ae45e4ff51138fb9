"""A transcript of one window as segments, and where the next window begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xinfer.model.audio.whisper.vocabulary import Vocabulary

_LEAST = 1.0
"""Seconds by which the next window has to begin later; else this one counts as written down whole,
so that what a model makes of noise comes to an end."""


class Stretch(NamedTuple):
    """Seconds since the window's start, and the tokens of what is said between them."""

    start: float
    end: float
    tokens: list[int]


class Split(NamedTuple):
    stretches: list[Stretch]
    taken: float
    """Seconds of the window that are written down."""


def split(written: Sequence[int], vocabulary: Vocabulary, *, seconds: float) -> Split:
    """What a window's tokens say.

    A last segment of which only the start is written goes on beyond the window: the next window
    begins with it.

    Args:
        seconds: how much sound there is in the window.
    """
    zero = vocabulary.first_time
    stretches: list[Stretch] = []
    text: list[int] = []
    begun: float | None = None
    ended = 0.0
    for token in written:
        if token < zero:
            text.append(token)
        elif begun is None:
            begun = vocabulary.seconds(token)
        elif text:
            ended = vocabulary.seconds(token)
            stretches.append(Stretch(begun, max(begun, min(ended, seconds)), text))
            text, begun = [], None
        else:
            begun = vocabulary.seconds(token)
    if text:  # no end was written: it lasts as long as the window
        stretches.append(Stretch(begun or 0.0, seconds, text))
        return Split(stretches, seconds)
    if begun is None:
        return Split(stretches, seconds)
    taken = ended if stretches else begun
    return Split(stretches, taken if taken >= _LEAST else seconds)
