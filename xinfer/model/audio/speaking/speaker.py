"""What an engine asks of a model that speaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray


class Reference(NamedTuple):
    """What somebody said, in the voice to speak with."""

    text: str
    sound: NDArray[np.float32]
    """(samples,) from -1 to 1, at the model's rate."""


class Speaker(Protocol):
    """A loaded model. Called from one thread at a time."""

    device: str
    """Where it is computed: cpu, cuda, …"""
    sample_rate: int
    longest: int
    """Characters that it speaks at once."""
    voices: tuple[str, ...]
    """By name, the default first; empty for a model of one voice without a name."""
    own_speed: bool
    """Whether it can speak faster by itself."""
    clones: bool
    """Whether it can speak with the voice of a recording."""

    def speak(
        self,
        text: str,
        voice: str,
        speed: float,
        still_wanted: Callable[[], None],
        like: Reference | None = None,
    ) -> NDArray[np.float32]:
        """(samples,) from -1 to 1; none where there is nothing in the text that it can say.

        Args:
            voice: one of `voices`; empty where it has none.
            speed: 1 unless `own_speed`.
            still_wanted: called with each step, of a model that has any; what it raises ends it.
            like: None unless `clones`.
        """
        ...
