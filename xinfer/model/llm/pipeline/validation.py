"""Checks that only a replica can do: they need the vocabulary or what the engine declares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from xinfer.errors import InvalidRequest, NotFound
from xinfer.types.model import Abilities
from xinfer.types.request import CompletionRequest, Sampling, TextRequest

MAX_STOP_STRINGS = 16
MAX_STOP_BYTES = 1024
"""Of one stop string, in UTF-8."""


def _only(*values: Any) -> Callable[[Any], bool]:
    return values.__contains__


_NEUTRAL: dict[str, Callable[[Any], bool]] = {
    "top_p": _only(1.0),
    "top_k": _only(0, -1),
    "min_p": _only(0.0),
    "presence_penalty": _only(0.0),
    "frequency_penalty": _only(0.0),
    "repetition_penalty": _only(1.0),
    "logit_bias": _only({}),
    "ignore_eos": _only(False),
    "typical_p": _only(1.0),
    "top_n_sigma": lambda value: value <= 0,
    "xtc_probability": _only(0.0),
    "mirostat": _only(0),
    "dry_multiplier": _only(0.0),
}
"""Values that ask for nothing. Many clients send them always; any engine can honour them."""

_PART_OF = {
    "xtc_threshold": "xtc_probability",
    "mirostat_tau": "mirostat",
    "mirostat_eta": "mirostat",
    "dry_base": "dry_multiplier",
    "dry_allowed_length": "dry_multiplier",
    "dry_penalty_last_n": "dry_multiplier",
    "dry_sequence_breakers": "dry_multiplier",
}
"""Fields that ask for nothing as long as another one asks for nothing."""

_NOT_OF_THE_SET = ("max_tokens", "logprobs")
"""Sampling fields that `Abilities.sampling` says nothing of."""


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
        if name in _NOT_OF_THE_SET or name in supported or _asks_nothing(sampling, name):
            continue
        raise _unsupported(
            f"The engine of this model does not honour {name}. It does: "
            f"{', '.join(sorted(supported)) or 'no sampling parameter'}. "
            f"Leave {name} out, or launch the model on another engine.",
            name,
        )
    check_tokens(tuple(sampling.logit_bias or ()), "logit_bias", vocabulary_size)


def _asks_nothing(sampling: Sampling, name: str) -> bool:
    value = getattr(sampling, name)
    if value is None or (name in _NEUTRAL and _NEUTRAL[name](value)):
        return True
    return name in _PART_OF and _asks_nothing(sampling, _PART_OF[name])


def check_abilities(request: TextRequest, abilities: Abilities) -> None:
    """Refuse log-probabilities, a constraint or an adapter that the engine does not have.

    Raises:
        InvalidRequest: log-probabilities or a kind of constraint that the engine does not declare,
            or log-probabilities of an echoed prompt (`unsupported_parameter`).
        NotFound: an adapter that it has not loaded; the message names those there are.
    """
    if request.sampling.logprobs is not None:
        if not abilities.logprobs:
            raise _unsupported(
                "The engine of this model tells no log-probabilities. Leave logprobs out, or "
                "launch the model on another engine.",
                "logprobs",
            )
        if isinstance(request, CompletionRequest) and request.echo:
            raise _unsupported(
                "The tokens of a prompt have no log-probabilities here, so that echo does not go "
                "with logprobs. Leave one of them out.",
                "echo",
            )
    constraint = request.constraint
    if constraint is not None and constraint.kind not in abilities.constraint:
        kinds = ", ".join(sorted(abilities.constraint)) or "nothing"
        raise _unsupported(
            f"The engine of this model does not enforce a {constraint.kind}, as "
            f"{constraint.field} asks for; it does {kinds}. Leave it out, or launch the model on "
            "another engine.",
            constraint.field,
        )
    adapter = request.adapter
    if adapter is not None and adapter not in abilities.adapters:
        there = ", ".join(sorted(abilities.adapters)) or "none"
        raise NotFound(
            f"No adapter {adapter!r} is loaded with this model. Those there are: {there}.",
            code="adapter_not_found",
            param="lora_name",
        )


def _unsupported(message: str, param: str) -> InvalidRequest:
    return InvalidRequest(message, code="unsupported_parameter", param=param)


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
