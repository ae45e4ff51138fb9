"""Which replica gets a request: small pure classes over the load that frames report."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """A replica as a policy sees it."""

    @property
    def pressure(self) -> float:
        """Requests it holds as a share of its slots and waiting room."""
        ...


C = TypeVar("C", bound=Candidate)


class PowerOfTwo:
    """The less loaded of two picked at random: near the best balance, without herding."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self._random = rng or random.Random()

    def choose(self, candidates: Sequence[C]) -> C:
        """One of `candidates`, which is not empty."""
        if len(candidates) == 1:
            return candidates[0]
        first, second = self._random.sample(list(candidates), 2)
        return first if first.pressure <= second.pressure else second
