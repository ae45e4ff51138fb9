"""From our sampling fields to llama.cpp's."""

from __future__ import annotations

from typing import Any

from xinfer.model.inspect.gguf import GgufMetadata
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

NEUTRAL: dict[str, float] = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repeat_penalty": 1.0,
    "repeat_last_n": 64,
}
"""llama.cpp's fields where neither the request nor the model says anything."""

_MODEL_KEYS = {
    "temperature": "temp",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "penalty_repeat",
    "repeat_last_n": "penalty_last_n",
}

# llama.cpp takes 2**32 - 1 as "choose one".
_SEEDS = (1 << 32) - 1


def model_defaults(gguf: GgufMetadata, *, repeat_last_n: int | None) -> dict[str, float]:
    """The model's own `general.sampling.*`, over the neutral values."""
    defaults = dict(NEUTRAL)
    for name, key in _MODEL_KEYS.items():
        value = gguf.values.get(f"general.sampling.{key}")
        if isinstance(value, int | float):
            defaults[name] = value
    # A file says -1 for the whole context; llama.cpp's server wants the number.
    if defaults["repeat_last_n"] < 0:
        defaults["repeat_last_n"] = gguf.context_length
    if repeat_last_n is not None:
        defaults["repeat_last_n"] = repeat_last_n
    return defaults


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
