"""The sampling defaults that a GGUF file brings along: `general.sampling.*`."""

from __future__ import annotations

from xinfer.model.inspect.gguf import GgufMetadata

_KEYS = {
    "temperature": "temp",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "repeat_penalty": "penalty_repeat",
    "repeat_last_n": "penalty_last_n",
}

NEUTRAL: dict[str, float] = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "repeat_penalty": 1.0,
    "repeat_last_n": 64,
}
"""llama.cpp's fields where neither the request nor the model says anything."""


def sampling_defaults(gguf: GgufMetadata, *, repeat_last_n: int | None) -> dict[str, float]:
    """The model's own values over the neutral ones, by llama.cpp's names.

    Args:
        repeat_last_n: overrides the model's; -1 is the whole context.
    """
    defaults = dict(NEUTRAL)
    for name, key in _KEYS.items():
        value = gguf.values.get(f"general.sampling.{key}")
        if isinstance(value, int | float):
            defaults[name] = value
    if repeat_last_n is not None:
        defaults["repeat_last_n"] = repeat_last_n
    if defaults["repeat_last_n"] < 0:
        defaults["repeat_last_n"] = gguf.context_length
    return defaults
