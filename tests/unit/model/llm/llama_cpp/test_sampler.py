"""What each sampling parameter does to given logits."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.pieces import PieceTokenizer
from xinfer.errors import EngineFailed, InvalidRequest
from xinfer.model.inspect.sampling_defaults import NEUTRAL
from xinfer.model.llama_cpp.model import LlamaModel
from xinfer.model.llm.constraint.compiler import ConstraintCompiler
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions
from xinfer.model.llm.llama_cpp.sampler import (
    HONOURED,
    Candidates,
    Row,
    Sampler,
    SamplerSettings,
    log_probability,
    resolve,
)
from xinfer.types.request import Constraint, Sampling

CONTEXT = 2048


@pytest.fixture(scope="module")
def model(noise: Path) -> Iterator[LlamaModel]:
    loaded = LlamaModel(str(noise), LlamaCppOptions(), gpu_layers=0, progress=lambda _: None)
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def candidates(model: LlamaModel) -> Candidates:
    return Candidates(model.vocabulary_size)


@pytest.fixture
def row(model: LlamaModel) -> Row:
    """Token t has the logit -t/8: the lower the likelier."""
    return -np.arange(model.vocabulary_size, dtype=np.float32) / 8


class Draw:
    """Draws tokens with some parameters; closes its samplers."""

    def __init__(self, model: LlamaModel, candidates: Candidates, row: Row) -> None:
        self._model, self._candidates, self._row = model, candidates, row

    def __call__(
        self,
        sampling: Sampling,
        most: int = 400,
        *,
        history: Sequence[int] = (),
        constraint: Constraint | None = None,
        bias: Mapping[int, float] | None = None,
        start: int = 0,
    ) -> list[int]:
        sampler = Sampler(
            resolve(sampling, NEUTRAL, CONTEXT),
            vocabulary=self._model.vocabulary,
            candidates=self._candidates,
            seed=sampling.seed,
            bias=bias or {},
            forbidden=[],
            matcher=None if constraint is None else self._constraints().matcher(constraint),
            history=history,
        )
        try:
            return [sampler.sample(self._row, start + n) for n in range(most)]
        finally:
            sampler.close()

    def _constraints(self) -> ConstraintCompiler:
        return ConstraintCompiler(PieceTokenizer(self._model.pieces(), self._model.end_ids))


@pytest.fixture
def draw(model: LlamaModel, candidates: Candidates, row: Row) -> Draw:
    return Draw(model, candidates, row)


def hot(**fields: Any) -> Sampling:
    return Sampling(**{"temperature": 1.0, "seed": 1, **fields})


def test_temperature_0_takes_the_likeliest(draw: Draw) -> None:
    assert set(draw(Sampling(temperature=0.0))) == {0}
    assert set(draw(Sampling(temperature=0.0), bias={0: -100.0})) == {1}


def test_temperature_widens_the_choice(draw: Draw) -> None:
    cold, warm = draw(hot(temperature=0.2)), draw(hot(temperature=2.0))
    assert np.mean(cold) < np.mean(draw(hot())) < np.mean(warm)


def test_choice_follows_the_distribution(draw: Draw, row: Row) -> None:
    drawn = Counter(draw(hot(), 4000))
    likely = np.exp(row) / np.exp(row).sum()
    for token in range(4):
        assert drawn[token] / 4000 == pytest.approx(likely[token], abs=0.03)


def test_top_k_keeps_k(draw: Draw) -> None:
    assert set(draw(hot(top_k=3))) == {0, 1, 2}
    assert max(draw(hot(top_k=-1))) > 10


def test_top_p_keeps_the_share(draw: Draw, row: Row) -> None:
    share = np.cumsum(np.exp(row) / np.exp(row).sum())
    assert max(draw(hot(top_p=0.5))) == int(np.searchsorted(share, 0.5))


def test_min_p_keeps_what_is_near_the_likeliest(draw: Draw) -> None:
    assert max(draw(hot(min_p=0.5))) == math.floor(8 * math.log(2))


def test_typical_p_drops_the_untypical(draw: Draw) -> None:
    assert set(draw(hot(typical_p=0.2))) < set(draw(hot()))


def test_top_n_sigma_keeps_what_is_within_n_deviations(draw: Draw, row: Row) -> None:
    assert max(draw(hot(top_n_sigma=0.1), 2000)) <= math.floor(0.1 * float(row.std()) * 8)


def test_xtc_drops_the_likeliest_of_several_likely(draw: Draw) -> None:
    assert 0 not in draw(hot(xtc_probability=1.0, xtc_threshold=0.05))


def test_mirostat_holds_the_surprise_down(draw: Draw) -> None:
    for version in (1, 2):
        drawn = draw(hot(mirostat=version, mirostat_tau=1.0, mirostat_eta=0.5))
        assert np.mean(drawn[50:]) < np.mean(draw(hot()))


def test_penalties_look_at_prompt_and_output(draw: Draw) -> None:
    assert draw(hot(temperature=0.0, presence_penalty=2.0), 3, history=[0]) == [1, 2, 3]
    assert draw(hot(temperature=0.0, frequency_penalty=2.0), 2, history=[0, 0]) == [1, 2]
    assert draw(hot(temperature=0.0, repetition_penalty=3.0), 1, history=[1]) == [0]


def test_penalties_look_back_so_far_only(draw: Draw) -> None:
    sampling = hot(temperature=0.0, presence_penalty=2.0, repeat_last_n=2)
    assert draw(sampling, 1, history=[0, 8, 9]) == [0]
    assert draw(sampling, 1, history=[8, 9, 0]) == [1]
    assert draw(hot(temperature=0.0, presence_penalty=2.0, repeat_last_n=0), 2) == [0, 0]


def test_dry_breaks_repetitions(draw: Draw) -> None:
    history = [5, 6, 0, 5, 6]
    assert draw(hot(temperature=0.0, dry_multiplier=5.0), 1, history=history) == [1]
    sampling = hot(temperature=0.0, dry_multiplier=5.0, dry_allowed_length=4)
    assert draw(sampling, 1, history=history) == [0]
    sampling = hot(temperature=0.0, dry_multiplier=5.0, dry_penalty_last_n=0)
    assert draw(sampling, 1, history=history) == [0]


def test_seed_and_position_decide(draw: Draw) -> None:
    whole = draw(hot(xtc_probability=0.5, xtc_threshold=0.01), 40)
    assert draw(hot(xtc_probability=0.5, xtc_threshold=0.01), 40) == whole
    assert draw(hot(xtc_probability=0.5, xtc_threshold=0.01), 15, start=25) == whole[25:]
    assert draw(hot(seed=2), 40) != draw(hot(), 40)


def test_without_a_seed_each_request_draws_otherwise(draw: Draw) -> None:
    assert draw(Sampling(temperature=1.0), 40) != draw(Sampling(temperature=1.0), 40)


GRAMMAR = Constraint("grammar", 'root ::= "b" [0-9]')


def text(ids: list[int]) -> str:
    """Of this vocabulary, in which a byte is its own token."""
    return "".join(chr(token) for token in ids)


def test_grammar_is_kept_and_the_likeliest_taken_within_it(draw: Draw) -> None:
    assert text(draw(Sampling(temperature=0.0), 2, constraint=GRAMMAR)) == "b0"
    drawn = {
        text(draw(hot(seed=seed, temperature=3.0), 2, constraint=GRAMMAR)) for seed in range(30)
    }
    assert len(drawn) > 2
    assert all(one[0] == "b" and one[1].isdigit() for one in drawn)


def test_grammar_ends_with_an_end_token_only(draw: Draw, model: LlamaModel) -> None:
    assert draw(Sampling(temperature=0.0), 3, constraint=GRAMMAR)[-1] in model.end_ids


def test_grammar_that_no_token_fits_is_the_requests_fault(draw: Draw, row: Row) -> None:
    row[:] = -math.inf
    with pytest.raises(InvalidRequest, match="leave no token of this model"):
        draw(hot(), 1, constraint=GRAMMAR)


def test_lowest_temperature_takes_the_likeliest(draw: Draw) -> None:
    assert set(draw(hot(temperature=1e-40))) == {0}


def test_smallest_repetition_penalty_leaves_numbers(draw: Draw, row: Row) -> None:
    row += 1
    repeated = hot(repetition_penalty=1e-320, repeat_last_n=-1, typical_p=0.5, top_k=0)
    assert draw(repeated, 4, history=[3]) == [3] * 4


@pytest.mark.parametrize("seed", [-(2**63), -1, 0, 2**32 - 1, 2**63 - 1])
def test_any_seed_is_taken(draw: Draw, seed: int) -> None:
    assert draw(hot(seed=seed), 5) == draw(hot(seed=seed), 5)


def test_neighbouring_seeds_draw_independently(draw: Draw) -> None:
    """No seed's draws are a neighbour's, shifted by some positions."""
    drawn = np.array([draw(hot(seed=seed), 300) for seed in range(8)])
    for other in range(1, 8):
        for shift in range(20):
            same = drawn[0][: 300 - shift] == drawn[other][shift:]
            assert same.mean() < 0.25  # two independent draws agree in about 1 of 16


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_no_numbers_are_an_error(
    draw: Draw, row: Row, value: float, temperature: float
) -> None:
    row[3] = value
    with pytest.raises(EngineFailed, match="not numbers"):
        draw(hot(temperature=temperature, top_k=5), 1)


def test_nothing_left_to_choose_is_an_error(draw: Draw, row: Row) -> None:
    row[:] = -math.inf
    with pytest.raises(EngineFailed, match="No token is left"):
        draw(hot(), 1)


def test_logits_are_left_as_they_were(draw: Draw, row: Row) -> None:
    before = row.copy()
    draw(hot(top_k=3), 3, bias={1: 5.0})
    draw(Sampling(temperature=0.0), 3, bias={1: 5.0})
    assert np.array_equal(row, before)


def test_log_probabilities_are_the_models_own(row: Row) -> None:
    found = log_probability(row, 2, 3)
    expected = row - np.log(np.exp(row).sum())
    assert found.logprob == pytest.approx(expected[2], abs=1e-5)
    assert [token for token, _ in found.top] == [0, 1, 2]
    assert [value for _, value in found.top] == pytest.approx(expected[:3], abs=1e-5)
    assert log_probability(row, 2, 0).top == []


def test_every_field_is_honoured() -> None:
    assert set(Sampling.__struct_fields__) - HONOURED == {"max_tokens", "logprobs"}
    kept = {"seed", "logit_bias", "ignore_eos"}
    names = set(SamplerSettings.__struct_fields__) | {"repetition_penalty"}
    assert names | kept >= HONOURED


def test_request_wins_over_the_model_and_windows_are_cut_to_the_context() -> None:
    defaults = {**NEUTRAL, "temperature": 0.6, "top_k": 20}
    settings = resolve(Sampling(top_k=5, repeat_last_n=-1, repetition_penalty=1.5), defaults, 100)
    assert (settings.temperature, settings.top_k, settings.repeat_penalty) == (0.6, 5, 1.5)
    assert (settings.repeat_last_n, settings.dry_penalty_last_n) == (100, 100)
    assert resolve(Sampling(repeat_last_n=10**9), defaults, 100).repeat_last_n == 100
