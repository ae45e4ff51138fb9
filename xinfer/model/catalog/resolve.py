"""From a launch as the user asked for it to one concrete model on one engine."""

from __future__ import annotations

import os
from typing import Any

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.catalog.adapters import adapter_options
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.engine import BUILTIN, engine_names, find_engine, parse_options
from xinfer.model.inspect.model import inspect_path
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import Memory, ModelSpec

_LLAMA_CPP_ENCODERS = ("llama-cpp-embedding", "llama-cpp-rerank")
ENGINE_ALIASES = {
    "llama.cpp": ("llama-cpp-python", "xllamacpp", *_LLAMA_CPP_ENCODERS),
    "llama-cpp-python": ("llama-cpp-python", *_LLAMA_CPP_ENCODERS),
}
"""Names that stand for several engines; the first that can is taken."""
RETIRED_ENGINES = {"ctransformers": "llama.cpp", "ggml": "llama.cpp"}
"""Engines that people still ask for, and what runs their models."""
FORMAT_ALIASES = {"gguf": "ggufv2", "safetensors": "pytorch"}
FORMAT_EXTRAS = {"pytorch": ("transformers", "vllm")}

# Sizes are spoken of in round numbers: a "7B" has 7.6, a "0.5B" 0.49.
SIZE_TOLERANCE = 0.25


class Resolved(msgspec.Struct, frozen=True):
    """What will be launched; `options` are valid for `engine`."""

    model: ModelSpec
    engine: str
    options: dict[str, Any]
    reason: str = ""
    """Why this engine and this form of the model, as a sentence."""
    memory: Memory = Memory()
    """What each replica is expected to take."""


def resolve(spec: LaunchSpec, catalogue: Catalogue) -> Resolved:
    """Decide model, engine and options of a launch. Blocks: it may read a file's header.

    Without `model_engine`, the first engine that can run the model here is taken.

    Raises:
        NotFound: no such name or path.
        InvalidRequest: nothing here runs what was asked for; `param` names the field at fault.
    """
    models = _select(spec, _candidates(spec, catalogue))
    engine, model = _choose(spec, models)
    kind = find_engine(engine)[1]
    options = spec.options
    if spec.n_gpu is None and "n_gpu_layers" in kind.options().__struct_fields__:
        options = {"n_gpu_layers": 0, **options}
    if spec.adapters:
        options = {**options, **adapter_options(spec, engine, _engines_for(model))}
    memory = kind.estimate(model, parse_options(kind, engine, options))
    return Resolved(model, engine, options, _reason(spec, engine, model), memory)


def is_path(name: str) -> bool:
    """Whether a model name is a path rather than a name of the catalogue."""
    return (
        os.path.isabs(name)
        or name.startswith(("~", "./", "../", ".\\", "..\\"))
        or name in {".", ".."}
        or name.lower().endswith(".gguf")
    )


def _candidates(spec: LaunchSpec, catalogue: Catalogue) -> list[ModelSpec]:
    if is_path(spec.model_name):
        if spec.model_path is not None:
            raise InvalidRequest(
                "Give the path either as model_name or as model_path, not as both.",
                param="model_path",
            )
        return [inspect_path(spec.model_name, param="model_name")]
    if spec.model_path is not None:
        model = inspect_path(spec.model_path)
        return [msgspec.structs.replace(model, name=spec.model_name)]
    return catalogue.find(spec.model_name).models()


def _select(spec: LaunchSpec, models: list[ModelSpec]) -> list[ModelSpec]:
    """Those of the candidates that agree with all the launch says of the model."""
    _check_type(spec, models[0])
    if spec.model_format is not None:
        wanted = spec.model_format.lower()
        wanted = FORMAT_ALIASES.get(wanted, wanted)
        models = _keep(models, "format", "model_format", [m.format == wanted for m in models])
    if spec.quantization is not None:
        chosen = [m.quantization.lower() == spec.quantization.lower() for m in models]
        models = _keep(models, "quantization", "quantization", chosen)
    if spec.model_size_in_billions is not None:
        chosen = [_same_size(spec.model_size_in_billions, m.size_in_billions) for m in models]
        models = _keep(models, "size_in_billions", "model_size_in_billions", chosen)
    return models


def _check_type(spec: LaunchSpec, model: ModelSpec) -> None:
    if spec.model_type is not None and spec.model_type.lower() != model.type.lower():
        raise InvalidRequest(
            f"{model.name} is a model of type {model.type}, not {spec.model_type}.",
            param="model_type",
        )


def _same_size(wanted: float, size: float | None) -> bool:
    return size is not None and abs(wanted - size) <= SIZE_TOLERANCE * max(wanted, size)


def _keep(models: list[ModelSpec], field: str, param: str, chosen: list[bool]) -> list[ModelSpec]:
    kept = [model for model, keep in zip(models, chosen, strict=True) if keep]
    if not kept:
        there = sorted({str(getattr(model, field) or "none") for model in models})
        raise InvalidRequest(
            f"{models[0].name} is not there with this {param}; it is with: {', '.join(there)}.",
            param=param,
        )
    return kept


def _choose(spec: LaunchSpec, models: list[ModelSpec]) -> tuple[str, ModelSpec]:
    if spec.model_engine is None:
        for model in models:
            engines = _engines_for(model)
            if engines:
                return engines[0], model
        raise _nothing_runs(models)
    wanted = spec.model_engine.lower()
    if wanted in RETIRED_ENGINES:
        raise InvalidRequest(
            f"There is no engine {spec.model_engine} any more; {RETIRED_ENGINES[wanted]} runs its "
            f"models as .gguf files: --model-engine {RETIRED_ENGINES[wanted]}.",
            param="model_engine",
        )
    refusals = []
    for alias in ENGINE_ALIASES.get(wanted, (spec.model_engine,)):
        name, engine = find_engine(alias)
        for model in models:
            support = engine.support(model)
            if support.ok:
                return name, model
            install = f" (pip install 'xinfer[{support.extra}]')" if support.extra else ""
            refusals.append(f"{support.reason}{install}")
    others = sorted({other for model in models for other in _engines_for(model)})
    raise InvalidRequest(
        f"Engine {spec.model_engine} cannot run {models[0].name}: "
        f"{'; '.join(dict.fromkeys(refusals))}. "
        + (f"Engines that can: {', '.join(others)}." if others else "No other engine here can."),
        param="model_engine",
    )


def _reason(spec: LaunchSpec, engine: str, model: ModelSpec) -> str:
    if spec.model_engine is not None:
        if spec.model_engine.lower() in ENGINE_ALIASES and spec.model_engine.lower() != engine:
            return f"{spec.model_engine} was asked for; {engine} is the first of its engines here."
        return f"{engine} was asked for."
    others = [other for other in _engines_for(model) if other != engine]
    form = f" in the format {model.format}" if model.format else ""
    also = f"; so can {', '.join(others)}" if others else ""
    return f"{engine} is the first engine here that can run {model.name}{form}{also}."


def _engines_for(model: ModelSpec) -> list[str]:
    """Engines that run the model here, the built-in ones first."""
    names = [*BUILTIN, *(name for name in engine_names() if name not in BUILTIN)]
    return [name for name in names if find_engine(name)[1].support(model).ok]


def _nothing_runs(models: list[ModelSpec]) -> InvalidRequest:
    model = models[0]
    reasons = []
    for name in engine_names():
        support = find_engine(name)[1].support(model)
        install = f" (pip install 'xinfer[{support.extra}]')" if support.extra else ""
        reasons.append(f"{name}: {support.reason}{install}")
    extras = FORMAT_EXTRAS.get(model.format)
    hint = (
        f" Engines for {model.format} come with the extras {' and '.join(extras)} "
        f"(pip install 'xinfer[{extras[0]}]')."
        if extras
        else ""
    )
    what = f"{model.name} ({model.type}{f', {model.format}' if model.format else ''})"
    return InvalidRequest(
        f"No engine here can run {what}. {'; '.join(reasons)}.{hint}",
        param="model_format" if extras else "model_name",
    )
