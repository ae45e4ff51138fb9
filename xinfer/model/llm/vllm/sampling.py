"""From our sampling fields to vLLM's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.engine import TokenRequest

HONOURED = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p"),
        *("presence_penalty", "frequency_penalty", "repetition_penalty"),
        *("seed", "logit_bias", "ignore_eos"),
    }
)

_NUMBERS = (
    *("temperature", "top_p", "top_k", "min_p"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty"),
)
_SEEDS = 1 << 63
# vLLM takes -1 for no seed; and the output of a resumed request has one of its own for each
# position, so that it does not begin with the random numbers that it had before.
_STRIDE = 0x9E3779B97F4A7C15


def sampling_fields(
    request: TokenRequest,
    defaults: Mapping[str, Any],
    *,
    ends: Iterable[int],
    vocabulary_size: int,
) -> dict[str, Any]:
    """Arguments of vLLM's `SamplingParams` for what is left of a request's output.

    Args:
        defaults: the model's own, where the request is silent.
        ends: tokens that end an output.

    Raises:
        InvalidRequest: the output is resumed, and vLLM could not go on as it would have.
    """
    sampling = request.sampling
    fields: dict[str, Any] = {name: defaults[name] for name in _NUMBERS if name in defaults}
    for name in _NUMBERS:
        if (value := getattr(sampling, name)) is not None:
            fields[name] = value
    if request.resume:
        _check_resumed(request, fields)
    if sampling.seed is not None:
        fields["seed"] = _mixed((sampling.seed + len(request.resume) * _STRIDE) % _SEEDS)
    if sampling.logit_bias:
        fields["logit_bias"] = dict(sampling.logit_bias)
    if sampling.logprobs is not None:
        fields["logprobs"] = min(sampling.logprobs, vocabulary_size)
    return fields | {
        "max_tokens": request.max_tokens - len(request.resume),
        "ignore_eos": sampling.ignore_eos,
        "stop_token_ids": [] if sampling.ignore_eos else sorted(ends),
        "detokenize": False,
    }


def _mixed(seed: int) -> int:
    """A generator of processors looks at the lower 32 bits alone: the others go in there too."""
    return seed ^ ((seed >> 32) * _STRIDE & 0xFFFFFFFF)


def _check_resumed(request: TokenRequest, fields: Mapping[str, Any]) -> None:
    """vLLM takes what is resumed for a part of the prompt, which these do not look at."""
    penalties = ("presence_penalty", "frequency_penalty")
    names = [name for name in penalties if fields.get(name)]
    if request.constraint is not None:
        names.append("a constraint")
    if names:
        raise InvalidRequest(
            f"An output with {' and '.join(names)} cannot be continued by vLLM where it was "
            "interrupted. Ask again from the beginning.",
            code="not_resumable",
        )
