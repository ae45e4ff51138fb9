"""From our sampling fields to llama.cpp's."""

from __future__ import annotations

from typing import Any

from xinfer.types.request import Sampling

HONOURED = frozenset(
    {
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "seed",
        "logit_bias",
        "ignore_eos",
    }
)

# llama.cpp takes 2**32 - 1 as "choose one".
_SEEDS = (1 << 32) - 1


def request_fields(
    sampling: Sampling, defaults: dict[str, float], *, position: int
) -> dict[str, Any]:
    """llama.cpp's fields for one request; `position` tokens of its output exist already.

    With the same seed and position comes the same output.
    """
    fields: dict[str, Any] = dict(defaults)
    asked = {
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repetition_penalty,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
    }
    fields.update({name: value for name, value in asked.items() if value is not None})
    # "All tokens" is -1 in vLLM, 0 in llama.cpp.
    fields["top_k"] = max(0, fields["top_k"])
    fields["ignore_eos"] = sampling.ignore_eos
    if sampling.logit_bias:
        fields["logit_bias"] = [[token, bias] for token, bias in sampling.logit_bias.items()]
    if sampling.seed is not None:
        fields["seed"] = (sampling.seed + position * 0x9E3779B1) % _SEEDS
    return fields
