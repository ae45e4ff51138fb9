"""Of all forms of a model, those that agree with what a launch says of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.catalog.names import size_of_tag
from xinfer.model.catalog.words import (
    GGUF,
    PYTORCH,
    is_old_format,
    parse_bits,
    parse_format,
    same_quantization,
)
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import ModelSpec

# Sizes are spoken of in round numbers: a "7B" has 7.6, a "0.5B" 0.49.
_SIZE_TOLERANCE = 0.25
_SENT_ANYHOW = "llm"
"""The type that clients send when they were told none: it claims nothing."""
_ONLY = frozenset({PYTORCH, "diffusers"})
"""Words for the format of pictures' and sounds' models."""
_LATEST = "latest"
"""A tag that says nothing."""


def with_tag(spec: LaunchSpec, tag: str | None) -> LaunchSpec:
    """The launch with what stood behind a colon in its model's name: a size or a quantisation.

    Raises:
        InvalidRequest: the launch says something else in its own field.
    """
    if tag is None or tag.lower() == _LATEST:
        return spec
    size = size_of_tag(tag)
    if size is not None:
        if spec.model_size_in_billions not in (None, size):
            raise _twice(tag, "model_size_in_billions")
        return msgspec.structs.replace(spec, model_size_in_billions=size)
    if spec.quantization is not None and not same_quantization(spec.quantization, tag):
        raise _twice(tag, "quantization")
    return msgspec.structs.replace(spec, quantization=tag)


def select(spec: LaunchSpec, models: Sequence[ModelSpec]) -> list[ModelSpec]:
    """The forms that have the type, size, format and quantisation that the launch asks for.

    Raises:
        InvalidRequest: there is none; `param` is the field at fault, and the message lists what
            it could be.
    """
    chosen = list(models)
    if spec.model_type is not None and spec.model_type.lower() != _SENT_ANYHOW:
        chosen = _of_type(chosen, spec.model_type)
    if spec.model_size_in_billions is not None:
        chosen = _of_size(chosen, spec.model_size_in_billions)
    wanted, bits = spec.model_format, parse_bits(spec.quantization)
    if wanted is None and bits is not None:
        wanted = PYTORCH  # what is quantised while it loads
    if wanted is not None:
        chosen = _of_format(chosen, wanted)
    if bits is not None:
        return _keep(chosen, "quantization", lambda one: same_quantization("none", one))
    if spec.quantization is not None:
        quantization = spec.quantization
        return _keep(chosen, "quantization", lambda one: same_quantization(quantization, one))
    return chosen


def agrees(spec: LaunchSpec, models: Sequence[ModelSpec]) -> bool:
    """Whether one of the forms is what the launch asks for."""
    try:
        return bool(select(spec, models))
    except InvalidRequest:
        return False


def _of_type(models: list[ModelSpec], wanted: str) -> list[ModelSpec]:
    kept = [model for model in models if model.type.lower() == wanted.lower()]
    if not kept:
        raise InvalidRequest(
            f"{models[0].name} is a model of type {models[0].type}, not {wanted[:100]}.",
            param="model_type",
        )
    return kept


def _of_size(models: list[ModelSpec], wanted: float) -> list[ModelSpec]:
    """The nearest that is near enough; what has no size is of any."""
    sizes = [one.size_in_billions for one in models if one.size_in_billions is not None]
    near = [size for size in sizes if _are_near(wanted, size)]
    nearest = min(near, key=lambda size: abs(wanted - size), default=None)
    if nearest is None and len(sizes) == len(models):
        raise _absent(
            models, "model_size_in_billions", [f"{size:g}" for size in sorted(set(sizes))]
        )
    return [one for one in models if one.size_in_billions in (None, nearest)]


def _are_near(wanted: float, size: float) -> bool:
    return abs(wanted - size) <= _SIZE_TOLERANCE * max(wanted, size)


def _of_format(models: list[ModelSpec], word: str) -> list[ModelSpec]:
    if is_old_format(word):
        successors = [one for one in models if one.format == GGUF]
        others = ", ".join(_distinct(one.format for one in models))
        quantizations = ", ".join(_distinct(one.quantization for one in successors))
        raise InvalidRequest(
            f"Files of the format {word} are not read any more, by llama.cpp neither. "
            + (
                f"{models[0].name} is there in its successor: --model-format {GGUF}, with the "
                f"quantization {quantizations}."
                if successors
                else f"{models[0].name} is there as: {others}."
            ),
            param="model_format",
        )
    wanted = parse_format(word)
    # Types of which the catalogue knows but one format have none there.
    kept = [
        one
        for one in models
        if one.format == wanted or (wanted in _ONLY and not one.format and one.sources)
    ]
    if not kept:
        raise _absent(models, "model_format", _distinct(one.format for one in models))
    return kept


def _keep(models: list[ModelSpec], field: str, is_wanted: Callable[[str], bool]) -> list[ModelSpec]:
    kept = [one for one in models if is_wanted(one.quantization)]
    if not kept:
        raise _absent(models, field, _distinct(one.quantization for one in models))
    return kept


def _distinct(values: object) -> list[str]:
    return sorted({str(value or "none") for value in values})  # type: ignore[attr-defined]


def _absent(models: list[ModelSpec], param: str, there: Sequence[str]) -> InvalidRequest:
    return InvalidRequest(
        f"{models[0].name} is not there with this {param}; it is with: {', '.join(there)}.",
        param=param,
    )


def _twice(tag: str, param: str) -> InvalidRequest:
    return InvalidRequest(
        f"The model's name ends in :{tag}, and {param} says something else. Give one of them.",
        param=param,
    )
