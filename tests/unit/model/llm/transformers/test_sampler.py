"""What is chosen: the right shares, whatever else is in the step."""

from __future__ import annotations

import math

import pytest
import torch

from xinfer.errors import EngineFailed
from xinfer.model.llm.transformers.sampler import (
    Chooser,
    SamplerSettings,
    _race,
    choose,
    log_probabilities,
    resolve,
)
from xinfer.types.request import Sampling

SIZE = 3000
"""More than are sorted at once."""


def chooser(seed: int = 1, **settings: float) -> Chooser:
    return Chooser(
        SamplerSettings(**settings),  # type: ignore[arg-type]
        seed=seed,
        bias={},
        forbidden=(),
        prompt=[0],
        output=[],
        vocabulary_size=SIZE,
        device=torch.device("cpu"),
    )


def scores(*best: float) -> torch.Tensor:
    row = torch.full((SIZE,), -20.0)
    row[: len(best)] = torch.tensor(best)
    return row


def chosen(row: torch.Tensor, count: int, **settings: float) -> list[int]:
    """Tokens at many positions of one output."""
    one = chooser(**settings)
    rows = row.expand(count, -1).clone()
    tokens = choose(rows, [one] * count, range(count))
    assert all(isinstance(token, int) for token in tokens)
    return tokens  # type: ignore[return-value]


@pytest.mark.parametrize("settings", [{}, {"top_p": 0.999999}, {"min_p": 1e-9}])
def test_tokens_come_as_often_as_they_are_likely(settings: dict[str, float]) -> None:
    found = chosen(scores(*(math.log(share) for share in (0.5, 0.3, 0.2))), 4000, **settings)
    for token, share in enumerate((0.5, 0.3, 0.2)):
        assert abs(found.count(token) / 4000 - share) < 0.03


def test_a_temperature_makes_the_likely_likelier() -> None:
    found = chosen(scores(math.log(0.6), math.log(0.4)), 2000, temperature=0.5)
    assert abs(found.count(0) / 2000 - 0.36 / 0.52) < 0.04


def test_beyond_those_that_are_sorted_at_once_nothing_is_lost() -> None:
    """All alike: only sorting all of them finds those that top_p leaves."""
    found = chosen(torch.zeros(SIZE), 2000, top_p=0.9)
    assert len(set(found)) > 1200
    assert len(set(chosen(torch.zeros(SIZE), 2000, top_k=2))) == 2


def test_neighbours_and_rounding_change_nothing() -> None:
    torch.manual_seed(1)
    row = torch.randn(SIZE)
    ways: list[dict[str, float]] = [{}, {"top_p": 0.9}, {"top_k": 50, "min_p": 0.01}]
    for settings in ways:
        alone = [choose(row[None].clone(), [chooser(**settings)], [n])[0] for n in range(60)]
        together = choose(
            torch.stack([row + 1e-6 * torch.randn(SIZE), *torch.randn(3, SIZE)]).repeat(60, 1),
            [
                c
                for _ in range(60)
                for c in (chooser(**settings), *(chooser(seed=9, **w) for w in ways))
            ],
            [n for n in range(60) for _ in range(4)],
        )
        assert together[::4] == alone


def test_what_is_no_number_ends_one_request() -> None:
    rows = torch.stack([torch.full((SIZE,), math.nan), scores(1.0), torch.full((SIZE,), -math.inf)])
    bad, good, empty = choose(rows, [chooser(temperature=0.0) for _ in range(3)], [0, 0, 0])
    assert isinstance(bad, EngineFailed)
    assert good == 0
    assert isinstance(empty, EngineFailed)


def test_the_request_goes_before_the_model_and_the_model_before_what_is_usual() -> None:
    settings = resolve(Sampling(top_p=0.5), {"top_p": 0.8, "top_k": 20.0})
    assert (settings.top_p, settings.top_k, settings.temperature) == (0.5, 20, 1.0)


def test_more_alternatives_than_tokens_are_all_tokens() -> None:
    told = log_probabilities(torch.zeros(4), 2, 9)
    assert len(told.top) == 4
    assert told.logprob == pytest.approx(-math.log(4))


def test_what_is_cut_off_is_never_chosen_whatever_its_head_start() -> None:
    row = torch.full((SIZE,), -math.inf)
    row[7] = 0.0
    ids = torch.arange(SIZE, dtype=torch.int32)[None]
    draws = torch.arange(20_000, dtype=torch.int32)
    for some in draws.split(1000):
        assert (_race(row.expand(len(some), -1), ids, some) == 7).all()
