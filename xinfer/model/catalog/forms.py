"""All forms of the model that a launch names, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from xinfer.errors import InvalidRequest, NotFound, Unavailable, XinferError
from xinfer.model.catalog.names import (
    HUGGINGFACE,
    MODELSCOPE,
    CatalogueName,
    ModelName,
    PathName,
    RepositoryName,
    parse_hub,
    parse_name,
)
from xinfer.model.catalog.select import agrees, with_tag
from xinfer.model.catalog.surroundings import Hubs, Surroundings
from xinfer.model.catalog.words import same_quantization
from xinfer.model.inspect.model import inspect_variants
from xinfer.model.inspect.weights import refuse_pickles
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import ModelSpec, Source

UNREACHABLE = "hub_unreachable"
VOICES = "piper"
"""Family of models of which several may lie together."""
_SHOWN = 5


class Forms(NamedTuple):
    """The launch, with what its model's name says beside the model; and the forms."""

    spec: LaunchSpec
    models: list[ModelSpec]


def find_forms(spec: LaunchSpec, around: Surroundings) -> Forms:
    """Look a launch's model up: in the catalogue, in a repository, at a path.

    Raises:
        NotFound: no such name, repository or path.
        InvalidRequest: the name is none, or fields contradict each other.
        Forbidden, Unavailable: what the hubs say.
    """
    named = parse_name(spec.model_name)
    hub = parse_hub(spec.download_hub)
    if spec.model_path is not None:
        return _at_model_path(spec, spec.model_path, named)
    if isinstance(named, PathName):
        return Forms(spec, _one_voice(inspect_variants(named.path, param="model_name")))
    if isinstance(named, RepositoryName):
        if hub is not None and named.hub not in (None, hub):
            raise InvalidRequest(
                f"{spec.model_name[:200]} is on {named.hub}, and download_hub says {hub}. Give "
                "one of them.",
                param="download_hub",
            )
        spec = with_tag(spec, named.tag)
        found = _of_repository(spec, named, named.hub or hub, around.hubs)
        return Forms(spec, _one_voice(found))
    return _of_catalogue(spec, named, hub, around)


def examine(model: ModelSpec, around: Surroundings) -> ModelSpec:
    """A form that the catalogue names, with what its files say of it; one whose files are known
    already, as it is.

    Raises:
        NotFound, Forbidden, InvalidRequest, Unavailable: its files cannot be read, are others, or
            are pickles, which nobody has allowed.
    """
    examined = _examined(model, around.hubs)
    if not around.pickle_allowed:
        refuse_pickles(examined)
    return examined


def _examined(model: ModelSpec, hubs: Hubs) -> ModelSpec:
    if model.path or not model.sources or model.files:
        return model
    for source in model.sources:
        same = _same_form(model, hubs.cached(source))
        if same is not None:
            return _merged(model, same)
    found = _inspected(model.sources, hubs)
    same = _same_form(model, found)
    if same is None:
        there = ", ".join(f"{one.format} {one.quantization}" for one in found)
        raise NotFound(
            f"{model.name} is not in its repository {found[0].model_id} as {model.format} "
            f"{model.quantization}; there is: {there}.",
            code="model_not_found",
            param="quantization",
        )
    return _merged(model, same)


def _same_form(model: ModelSpec, found: Sequence[ModelSpec]) -> ModelSpec | None:
    if any(one.family == VOICES for one in found):
        return _same_voice(model, found)
    kind = [one for one in found if not model.format or one.format == model.format]
    for one in kind:
        if same_quantization(model.quantization, one.quantization):
            return one
    # A repository of one form need not call it as the catalogue does.
    return kind[0] if len(kind) == 1 and model.quantization == "none" else None


def _same_voice(model: ModelSpec, found: Sequence[ModelSpec]) -> ModelSpec | None:
    """The one whose file the catalogue names; it may name none where there is but one."""
    named = [source.files[0] for source in model.sources if source.files]
    if not named:
        return found[0] if len(found) == 1 else None
    return next((one for one in found if one.files[0] in named), None)


def _at_model_path(spec: LaunchSpec, path: str, named: ModelName) -> Forms:
    if isinstance(named, PathName):
        raise InvalidRequest(
            "Give the path either as model_name or as model_path, not as both.",
            param="model_path",
        )
    name = named.name if isinstance(named, CatalogueName) else spec.model_name
    found = _one_voice(inspect_variants(path), param="model_path")
    models = [msgspec.structs.replace(model, name=name) for model in found]
    return Forms(with_tag(spec, named.tag), models)


def _of_repository(
    spec: LaunchSpec, named: RepositoryName, hub: str | None, hubs: Hubs
) -> list[ModelSpec]:
    files = (named.file,) if named.file else ()
    sources = [
        Source(hub=each, repo=named.repo, revision=named.revision, files=files)
        for each in ([hub] if hub else [HUGGINGFACE, MODELSCOPE])
    ]
    for source in sources:
        cached = _with_file(named.file, hubs.cached(source))
        if cached and agrees(spec, cached):
            return cached
    try:
        models = _with_file(named.file, _inspected(sources, hubs))
    except XinferError as error:
        error.param = error.param or "model_name"
        raise
    if not models:
        raise NotFound(
            f"{named.repo} has no model in a file {named.file}.",
            code="model_not_found",
            param="model_name",
        )
    return models


def _one_voice(models: list[ModelSpec], *, param: str = "model_name") -> list[ModelSpec]:
    """The forms of a model, of which voices are none: each is a model of its own.

    Raises:
        InvalidRequest: there are several; names them.
    """
    voices = [one for one in models if one.family == VOICES]
    if len(voices) > 1:
        files = ", ".join(one.files[0] for one in voices[:_SHOWN])
        raise InvalidRequest(
            f"There are {len(voices)} voices: {files}{', …' if len(voices) > _SHOWN else ''}. "
            "Name the file of one, behind its directory or repository.",
            param=param,
        )
    return models


def _with_file(file: str | None, models: list[ModelSpec]) -> list[ModelSpec]:
    return [one for one in models if file is None or file in one.sources[0].files]


def _of_catalogue(
    spec: LaunchSpec, named: CatalogueName, hub: str | None, around: Surroundings
) -> Forms:
    models = around.catalogue.find(named.name).models()
    if hub is not None:
        models = [_on_hub(model, hub) for model in models]
        models = [model for model in models if model.path or not model.format or model.sources]
        if not models:
            raise InvalidRequest(
                f"{named.name} is not on {hub}, as far as the catalogue knows. Leave download_hub "
                "out.",
                param="download_hub",
            )
    return Forms(with_tag(spec, named.tag), models)


def _on_hub(model: ModelSpec, hub: str) -> ModelSpec:
    sources = tuple(source for source in model.sources if source.hub == hub)
    return msgspec.structs.replace(model, sources=sources)


def _inspected(sources: Sequence[Source], hubs: Hubs) -> list[ModelSpec]:
    try:
        return hubs.inspect(sources)
    except Unavailable as error:
        if error.code == UNREACHABLE:
            error.message = f"{error.message} {_cures(hubs.kept())}"
            error.args = (error.message,)
        raise


def _cures(kept: Sequence[str]) -> str:
    """What helps where no hub can be reached."""
    shown = ", ".join(kept[:_SHOWN])
    more = f" and {len(kept) - _SHOWN} more" if len(kept) > _SHOWN else ""
    return (
        "Nothing was downloaded. To go on: name the directory or file of the model by "
        "--model-path; set HF_ENDPOINT to a mirror that this machine reaches; or set "
        "XINFERENCE_MODEL_SRC to the hub that it reaches, huggingface or modelscope. "
        + (
            f"Downloaded before and ready to launch: {shown}{more}."
            if kept
            else "No model has been downloaded before."
        )
    )


def _merged(known: ModelSpec, found: ModelSpec) -> ModelSpec:
    """What the files say, called as the catalogue calls it."""
    return msgspec.structs.replace(
        found,
        name=known.name,
        type=known.type,
        family=known.family or found.family,
        quantization=known.quantization,
        size_in_billions=known.size_in_billions or found.size_in_billions,
        context_length=known.context_length or found.context_length,
        dimensions=known.dimensions or found.dimensions,
        abilities=known.abilities or found.abilities,
        languages=known.languages,
        description=known.description or found.description,
        chat_template=known.chat_template,
        fallback_template=known.fallback_template,
        stop=known.stop,
        stop_token_ids=known.stop_token_ids,
        tool_call_parser=known.tool_call_parser,
        reasoning_tags=known.reasoning_tags,
    )
