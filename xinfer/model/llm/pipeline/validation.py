"""Checks that only a replica can do: they need the vocabulary or what the engine declares."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.types.request import Sampling

MAX_STOP_STRINGS = 16
MAX_STOP_BYTES = 1024
"""Of one stop string, in UTF-8."""

_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "top_p": (1.0,),
    "top_k": (0, -1),
    "min_p": (0.0,),
    "presence_penalty": (0.0,),
    "frequency_penalty": (0.0,),
    "repetition_penalty": (1.0,),
    "logit_bias": ({},),
    "ignore_eos": (False,),
}
"""Values that ask for nothing. Many clients send them always; any engine can honour them."""


def check_sampling(sampling: Sampling, supported: Collection[str], vocabulary_size: int) -> None:
    """Refuse what the engine would have to ignore.

    Raises:
        InvalidRequest: `max_tokens` is below 1, a field asks for something that the engine does
            not honour (`unsupported_parameter`), or `logit_bias` names an unknown token.
    """
    if sampling.max_tokens is not None and sampling.max_tokens < 1:
        raise InvalidRequest(
            f"max_tokens is {sampling.max_tokens}; expected at least 1.", param="max_tokens"
        )
    for name in Sampling.__struct_fields__:
        value = getattr(sampling, name)
        if name == "max_tokens" or value is None or name in supported:
            continue
        if value not in _NEUTRAL.get(name, ()):
            raise InvalidRequest(
                f"The engine of this model does not honour {name}. It does: "
                f"{', '.join(sorted(supported)) or 'no sampling parameter'}. "
                f"Leave {name} out, or launch the model on another engine.",
                code="unsupported_parameter",
                param=name,
            )
    check_tokens(tuple(sampling.logit_bias or ()), "logit_bias", vocabulary_size)


def check_stop(stop: Sequence[str]) -> None:
    """Refuse stop strings that match everything or cost too much.

    Raises:
        InvalidRequest: an empty stop string, one that is too long, or too many.
    """
    if len(stop) > MAX_STOP_STRINGS:
        raise InvalidRequest(
            f"There are {len(stop)} stop strings; at most {MAX_STOP_STRINGS} are accepted.",
            param="stop",
        )
    for string in stop:
        size = len(string.encode())
        if not 1 <= size <= MAX_STOP_BYTES:
            raise InvalidRequest(
                f"A stop string has {size} bytes; expected 1 to {MAX_STOP_BYTES}.", param="stop"
            )


def check_tokens(tokens: Sequence[int], param: str, vocabulary_size: int) -> None:
    """Refuse ids that the model does not have.

    Raises:
        InvalidRequest: a token id outside the vocabulary.
    """
    if tokens and (min(tokens) < 0 or max(tokens) >= vocabulary_size):
        wrong = next(token for token in tokens if not 0 <= token < vocabulary_size)
        raise InvalidRequest(
            f"{param} has the token id {wrong}; this model's ids go from 0 to "
            f"{vocabulary_size - 1}.",
            param=param,
        )
