"""What vLLM is told about sampling."""

from __future__ import annotations

from typing import Any

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.engine import TokenRequest
from xinfer.model.llm.vllm.sampling import HONOURED, sampling_fields
from xinfer.types.request import Constraint, Sampling

SEEDED = Sampling(temperature=1.0, seed=7)


def fields(sampling: Sampling, defaults: dict[str, Any] | None = None, **rest: Any) -> Any:
    request = TokenRequest(id=1, prompt=[1, 2], max_tokens=10, sampling=sampling, **rest)
    return sampling_fields(request, defaults or {}, ends=frozenset({9, 8}), vocabulary_size=100)


def test_a_silent_request_leaves_all_to_vllm() -> None:
    assert fields(Sampling()) == {
        "max_tokens": 10,
        "ignore_eos": False,
        "stop_token_ids": [8, 9],
        "detokenize": False,
    }


def test_the_models_own_defaults_stand_until_the_request_says_otherwise() -> None:
    defaults = {"temperature": 0.6, "top_k": 20, "repetition_penalty": 1.05, "max_tokens": 5}
    got = fields(Sampling(top_k=5), defaults)
    assert (got["temperature"], got["top_k"], got["repetition_penalty"]) == (0.6, 5, 1.05)
    assert got["max_tokens"] == 10


def test_every_field_that_is_declared_arrives() -> None:
    asked = {
        "temperature": 0.5,
        "top_p": 0.4,
        "top_k": 3,
        "min_p": 0.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "repetition_penalty": 1.1,
        "seed": 4,
        "logit_bias": {5: -1.0},
        "ignore_eos": True,
    }
    assert set(asked) == HONOURED
    got = fields(Sampling(**asked))
    assert {name: got[name] for name in asked} == asked
    assert got["stop_token_ids"] == []


def test_no_seed_is_one_that_vllm_takes_for_none() -> None:
    seeds = {fields(Sampling(seed=seed))["seed"] for seed in (-1, 0, 1, -(2**31), 2**40)}
    assert len(seeds) == 5
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert len({seed % 2**32 for seed in seeds}) == 5, "processors' generators see no more"


def test_what_is_resumed_is_sampled_by_another_seed_at_each_position() -> None:
    positions = [fields(SEEDED, resume=[5] * count)["seed"] for count in range(5)]
    assert len(set(positions)) == 5
    assert positions[0] == fields(SEEDED)["seed"] == 7


def test_what_is_resumed_takes_from_the_tokens_that_are_left() -> None:
    assert fields(SEEDED, resume=[5, 6, 7])["max_tokens"] == 7


def test_alternatives_are_at_most_all_tokens() -> None:
    assert fields(Sampling(logprobs=3))["logprobs"] == 3
    assert fields(Sampling(logprobs=0))["logprobs"] == 0
    assert fields(Sampling(logprobs=1000))["logprobs"] == 100


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"sampling": Sampling(presence_penalty=0.5)}, "presence_penalty"),
        ({"sampling": Sampling(frequency_penalty=0.5)}, "frequency_penalty"),
        (
            {"sampling": Sampling(), "constraint": Constraint("grammar", 'root ::= "a"')},
            "a constraint",
        ),
    ],
)
def test_what_looks_at_the_output_is_not_resumed(given: dict[str, Any], named: str) -> None:
    fields(**given)
    with pytest.raises(InvalidRequest, match=named) as refused:
        fields(**given, resume=[5])
    assert refused.value.code == "not_resumable"


def test_a_penalty_of_the_models_own_is_not_resumed_either() -> None:
    with pytest.raises(InvalidRequest, match="presence_penalty"):
        fields(Sampling(), {"presence_penalty": 1.5}, resume=[5])
    fields(Sampling(presence_penalty=0.0), {"presence_penalty": 1.5}, resume=[5])
