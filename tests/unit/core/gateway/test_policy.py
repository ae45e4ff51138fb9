"""Power of two choices: the less loaded of two picked at random."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from xinfer.core.gateway.policy import PowerOfTwo


@dataclass(frozen=True)
class Candidate:
    name: str
    pressure: float


IDLE, BUSY, FULL = Candidate("idle", 0.0), Candidate("busy", 0.5), Candidate("full", 1.0)


def choices(*candidates: Candidate) -> Counter[str]:
    policy = PowerOfTwo(random.Random(1))
    return Counter(policy.choose(candidates).name for _ in range(600))


def test_of_two_the_less_loaded_gets_everything() -> None:
    assert choices(IDLE, BUSY) == {"idle": 600}
    assert choices(BUSY, IDLE) == {"idle": 600}


def test_of_many_the_most_loaded_gets_nothing_and_the_least_loaded_most() -> None:
    counted = choices(FULL, BUSY, IDLE)
    assert counted["full"] == 0
    assert counted["idle"] > counted["busy"] > 0


def test_equals_share() -> None:
    counted = choices(*(Candidate(name, 0.3) for name in "abc"))
    assert set(counted) == set("abc")
    assert min(counted.values()) > 100


def test_the_only_one_is_chosen() -> None:
    assert choices(FULL) == {"full": 600}
