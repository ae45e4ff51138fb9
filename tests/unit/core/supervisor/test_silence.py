"""Which silent workers are lost: some at once, not many at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinfer.core.supervisor.silence import LossPolicy, find_lost, next_loss
from xinfer.settings import Settings

POLICY = LossPolicy(silence=10.0, share=0.5, patience=60.0)


def heard(*ages: float) -> dict[str, float]:
    return {f"w{number}": 1000.0 - age for number, age in enumerate(ages)}


@pytest.mark.parametrize(
    ("ages", "lost"),
    [
        ((0, 9.9), set()),
        ((10,), {"w0"}),  # one may always be lost
        ((10, 0), {"w0"}),
        ((10, 5), set()),  # the other is about to be
        ((10, 4.9), {"w0"}),
        ((10, 10, 0), set()),  # two of three are more than half
        ((10, 10, 0, 0), {"w0", "w1"}),
        ((10, 10), set()),
        ((60, 10), {"w0"}),  # at last it is
        ((10, 9, 8, 7, 0), set()),
        ((60, 60, 60), {"w0", "w1", "w2"}),
        ((), set()),
    ],
)
def test_workers_are_lost_as_long_as_they_are_few(ages: tuple[float, ...], lost: set[str]) -> None:
    assert find_lost(heard(*ages), 1000.0, POLICY) == lost


@pytest.mark.parametrize(
    ("ages", "lost", "found"),
    [((10,), 1, set()), ((10, 0, 0), 1, {"w0"}), ((10, 0, 0), 2, set())],
)
def test_those_lost_a_moment_ago_count(ages: tuple[float, ...], lost: int, found: set[str]) -> None:
    assert find_lost(heard(*ages), 1000.0, POLICY, lost=lost) == found


@pytest.mark.parametrize(
    ("ages", "at"),
    [((), None), ((3, 4), 1006.0), ((10, 10, 0), 1010.0), ((12, 11), 1048.0)],
)
def test_the_next_loss_that_time_alone_can_bring(ages: tuple[float, ...], at: float | None) -> None:
    assert next_loss(heard(*ages), 1000.0, POLICY) == at


@given(st.lists(st.floats(0, 100), max_size=9))
def test_between_two_looks_nobody_is_lost_unforeseen(ages: list[float]) -> None:
    seen = heard(*ages)
    lost = find_lost(seen, 1000.0, POLICY)
    for worker_id in lost:
        del seen[worker_id]
    due = next_loss(seen, 1000.0, POLICY)
    assert find_lost(seen, 1000.0, POLICY, lost=len(lost)) == set()
    if due is not None:
        assert due > 1000.0
        assert find_lost(seen, (1000.0 + due) / 2, POLICY, lost=len(lost)) == set()


def test_the_policy_is_that_of_the_settings() -> None:
    settings = Settings(heartbeat_timeout=3.0, mass_loss_share=0.2, mass_loss_timeout=9.0)
    assert LossPolicy.of(settings) == LossPolicy(silence=3.0, share=0.2, patience=9.0)
