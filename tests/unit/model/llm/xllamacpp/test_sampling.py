"""What llama.cpp is told about sampling."""

from __future__ import annotations

from typing import Any

import pytest

from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.inspect.sampling_defaults import NEUTRAL, sampling_defaults
from xinfer.model.llm.xllamacpp.sampling import HONOURED, request_fields
from xinfer.types.request import Sampling


def header(**sampling: Any) -> GgufMetadata:
    values: dict[str, Any] = {f"general.sampling.{key}": value for key, value in sampling.items()}
    values |= {"general.architecture": "llama", "llama.context_length": 2048}
    return GgufMetadata("a.gguf", values, (), 0, 0)


def test_silent_request_to_a_silent_model_is_neutral() -> None:
    fields = request_fields(Sampling(), sampling_defaults(header(), repeat_last_n=None), position=0)
    assert fields == {**NEUTRAL, "ignore_eos": False}


def test_models_own_defaults_stand_until_the_request_says_otherwise() -> None:
    gguf = header(temp=0.6, top_k=20, top_p=0.95, penalty_repeat=1.05)
    defaults = sampling_defaults(gguf, repeat_last_n=None)
    fields = request_fields(Sampling(top_k=5), defaults, position=0)
    assert (fields["temperature"], fields["top_p"], fields["repeat_penalty"]) == (0.6, 0.95, 1.05)
    assert fields["top_k"] == 5


def test_every_field_that_is_declared_arrives() -> None:
    sampling = Sampling(
        temperature=0.0,
        top_p=0.5,
        top_k=3,
        min_p=0.1,
        presence_penalty=0.2,
        frequency_penalty=0.3,
        repetition_penalty=1.1,
        seed=9,
        logit_bias={5: -100.0},
        ignore_eos=True,
    )
    assert {name for name in HONOURED if getattr(sampling, name) is not None} == HONOURED
    assert request_fields(sampling, dict(NEUTRAL), position=0) == {
        "temperature": 0.0,
        "top_p": 0.5,
        "top_k": 3,
        "min_p": 0.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "repeat_penalty": 1.1,
        "repeat_last_n": 64,
        "seed": 9,
        "logit_bias": [[5, -100.0]],
        "ignore_eos": True,
    }


def test_all_tokens_may_be_asked_for_as_minus_one() -> None:
    assert request_fields(Sampling(top_k=-1), dict(NEUTRAL), position=0)["top_k"] == 0


@pytest.mark.parametrize("seed", [-1, 0, 2**32 - 1, 2**63])
def test_no_seed_means_random_to_llama_cpp(seed: int) -> None:
    fields = request_fields(Sampling(seed=seed), dict(NEUTRAL), position=0)
    assert 0 <= fields["seed"] < 2**32 - 1


def test_resumed_output_does_not_draw_the_first_tokens_numbers_again() -> None:
    seeds = {
        request_fields(Sampling(seed=1), dict(NEUTRAL), position=position)["seed"]
        for position in range(100)
    }
    assert len(seeds) == 100


@pytest.mark.parametrize(
    ("file", "option", "window"), [(-1, None, 2048), (32, None, 32), (32, 7, 7)]
)
def test_window_of_the_penalties(file: int, option: int | None, window: int) -> None:
    defaults = sampling_defaults(header(penalty_last_n=file), repeat_last_n=option)
    assert defaults["repeat_last_n"] == window
