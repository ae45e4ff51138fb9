"""Why nothing here runs what was asked for, and what would."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from xinfer.errors import InvalidRequest
from xinfer.model.catalog.support import EngineSupport, ordered_engines, reason_of
from xinfer.model.catalog.words import (
    BITS_OPTION,
    PLANNED,
    parse_bits,
    planned_engines,
)
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import ModelSpec

CODE_SETTING = "XINFERENCE_TRUST_REMOTE_CODE"


def no_engine(word: str, names: Sequence[str]) -> InvalidRequest:
    """None of the engines is there that a word stands for."""
    planned = [name for name in names if name in PLANNED]
    if planned:
        return InvalidRequest(
            f"{not_in_this_version(planned)} Engines here: {', '.join(ordered_engines())}.",
            param="model_engine",
        )
    return InvalidRequest(
        f"There is no engine {word[:100]!r}. Engines here: {', '.join(ordered_engines())}.",
        param="model_engine",
    )


def not_in_this_version(engines: Sequence[str]) -> str:
    """A sentence on engines that xinfer is to have."""
    if len(engines) == 1:
        return f"The engine {engines[0]} is not in this version of xinfer."
    return f"The engines {' and '.join(engines)} are not in this version of xinfer."


def nothing_runs(
    spec: LaunchSpec, asked: Sequence[EngineSupport], others: Sequence[EngineSupport]
) -> InvalidRequest:
    """No engine that was asked runs a form of the model that agrees with the launch.

    Args:
        asked: what they said, of at least one form.
        others: what any engine here can run of the model, in whatever form.
    """
    model = asked[0].model
    code = _needs_code(asked)
    if code is not None:
        return code
    bits = parse_bits(spec.quantization)
    if bits is not None and any(each.support.ok for each in asked):
        reasons = [f"none of its engines quantises to {bits} bits while it loads ({BITS_OPTION})"]
    else:
        reasons = _reasons(_telling(spec, asked))
    subject = (
        "No engine here can" if spec.model_engine is None else f"Engine {spec.model_engine} cannot"
    )
    sentences = [f"{subject} run {describe(model)}: {_joined(reasons)}."]
    missing = [
        name
        for name in planned_engines(model.type, model.format)
        if name not in ordered_engines() and spec.model_engine is None
    ]
    if missing:
        sentences.append(not_in_this_version(missing))
    sentences.append(_would_run(model, others))
    return InvalidRequest(" ".join(sentences), param=_param(spec, missing or others))


def describe(model: ModelSpec) -> str:
    """Name, size and kind of a model, for messages."""
    size = f" {model.size_in_billions:g}B" if model.size_in_billions else ""
    form = f", {model.format}" if model.format else ""
    return f"{model.name}{size} ({model.type}{form})"


def _telling(spec: LaunchSpec, asked: Sequence[EngineSupport]) -> list[EngineSupport]:
    """Of engines that nobody asked for, the one for trying out is not worth a word."""
    telling = [each for each in asked if each.engine != "echo"]
    return telling if telling and spec.model_engine is None else list(asked)


def _reasons(asked: Sequence[EngineSupport]) -> list[str]:
    """Each reason once, behind the engines that gave it."""
    engines: dict[str, dict[str, None]] = {}
    for each in asked:
        engines.setdefault(reason_of(each.support), {})[each.engine] = None
    return [f"{', '.join(names)}: {reason}" for reason, names in engines.items()]


def _param(spec: LaunchSpec, elsewhere: Sequence[object]) -> str:
    """The field at fault; the format, where another one, or another engine, would do."""
    if spec.model_engine is not None:
        return "model_engine"
    return "model_format" if elsewhere and spec.model_format is not None else "model_name"


def _joined(reasons: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(reasons))


def _would_run(model: ModelSpec, others: Sequence[EngineSupport]) -> str:
    if not others:
        return "No other engine here can run it, in any of its forms."
    engines = dict.fromkeys(each.engine for each in others)
    # Those of the size that was asked for come first.
    forms = sorted(dict.fromkeys(_form(each.model, model) for each in others), key=len)
    return f"Engines that can: {', '.join(engines)}, in the form {' or '.join(forms)}."


def _form(model: ModelSpec, asked: ModelSpec) -> str:
    """The fields of a launch that tell one form from another."""
    words = [f"--model-format {model.format}"] if model.format else ["that it has"]
    if model.size_in_billions not in (None, asked.size_in_billions):
        words.append(f"--size-in-billions {model.size_in_billions:g}")
    return " ".join(words)


def _needs_code(asked: Sequence[EngineSupport]) -> InvalidRequest | None:
    """The refusal of code that comes with the model, where an engine would run it."""
    for each in asked:
        if each.support.ok and each.support.runs_code:
            return code_refused(each.model, each.engine)
    return None


def code_refused(model: ModelSpec, engine: str) -> InvalidRequest:
    """The refusal of code that comes with a model, and that this engine would run."""
    files = ", ".join(model.remote_code) or "files of its repository"
    return InvalidRequest(
        f"{describe(model)} comes with program code that {engine} would have to run: {files}. "
        "Whoever administers this server, and has read that code, can allow it by starting the "
        f"server with {CODE_SETTING}=1.",
        code="remote_code_refused",
        param="trust_remote_code",
    )
