"""A model in GGUF: what its header says, and which of a repository's files belong together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.ggml import FILE_TYPES
from xinfer.model.inspect.gguf import GgufMetadata, read_gguf_from, refuse
from xinfer.model.inspect.gguf_shape import gguf_shape
from xinfer.model.inspect.json_files import Listing
from xinfer.model.inspect.parameters import in_billions
from xinfer.model.inspect.parts import (
    is_first_part,
    is_piece,
    model_name,
    part_names,
    piece_refusal,
)
from xinfer.model.inspect.template import template_abilities
from xinfer.types.model import EncodeSpec, ModelSpec

GGUF_FORMAT = "ggufv2"

MOST_MODELS = 16
"""Different models, whatever their quantisations, that a repository may hold: the header of one
file of each is read."""

POOLINGS = {1: "mean", 2: "cls", 3: "last", 4: "rank"}
_RANK = 4
_NO_MODEL = re.compile(r"imatrix|ggml-vocab", re.IGNORECASE)
_QUANTIZATION = re.compile(
    r"(?i)(?:^|[-._/])((?:UD-)?(?:"
    + "|".join(sorted(map(re.escape, {*FILE_TYPES.values(), "MXFP4"}), key=len, reverse=True))
    + r"|Q\d_K_(?:XS|XL|XXL|L|M|S)|Q\d_\d|IQ\d_\w+|fp16|fp32)(?:_XL)?)(?=[-._/]|$)"
)
_PROJECTORS = ("F16", "BF16", "Q8_0", "F32")
"""Of several projectors the first of these: what their makers recommend."""


def is_projector(name: str) -> bool:
    """Whether a file is called as those that give a model its sight."""
    return name.rpartition("/")[2].lower().startswith("mmproj")


def quantization_of(name: str) -> str:
    """The quantisation that a file's name tells; empty if it tells none."""
    found = _QUANTIZATION.findall(name.removesuffix(".gguf"))
    named = str(found[-1]).upper() if found else ""
    return {"FP16": "F16", "FP32": "F32"}.get(named, named)


def describe_gguf(parts: Sequence[GgufMetadata], *, name: str, size: int) -> ModelSpec:
    """What the headers of a model's files say; the first may stand alone for all.

    Args:
        size: bytes of all its files.

    Raises:
        InvalidRequest: it is an addition to a model.
    """
    first = parts[0]
    if not first.architecture:
        refuse(first.path, "it has no general.architecture")
    kind = first.values.get("general.type", "model")
    if kind != "model" or first.architecture == "clip":
        refuse(first.path, f"it is an addition to a model ({kind}), not a model")
    parameters = sum(part.parameters for part in parts)
    if first.parts > len(parts):  # one stands for all
        parameters = parameters * size // first.file_size
    pooling = first.values.get(f"{first.architecture}.pooling_type", 0)
    shape = gguf_shape(first)
    return ModelSpec(
        name=name,
        type="rerank" if pooling == _RANK else "embedding" if pooling else "LLM",
        family=first.architecture,
        format=GGUF_FORMAT,
        size_in_billions=in_billions(parameters),
        quantization=first.quantization,
        context_length=first.context_length,
        abilities=() if pooling else ("generate", *template_abilities(first.chat_template or "")),
        languages=_languages(first),
        description=str(first.values.get("general.name", "")),
        size_bytes=size,
        architecture=first.architecture,
        shape=shape,
        dimensions=shape.hidden if shape and pooling and pooling != _RANK else 0,
        encode=EncodeSpec(
            pooling=POOLINGS.get(pooling, ""),
            labels=_labels(first),
        )
        if pooling
        else None,
    )


def gguf_variants(files: Listing, *, name: str) -> list[ModelSpec]:
    """Each quantisation that a repository has of each of its models, the smallest first.

    One header of each model is read. All its variants are said to be what that one is, but for
    their quantisation and size.

    Raises:
        InvalidRequest: a file that is read is damaged; no variant has all of its parts; there are
            more different models than can be told apart.
    """
    firsts = [
        one
        for one in files.by_name
        if one.lower().endswith(".gguf")
        and is_first_part(one)
        and not is_projector(one)
        and not _NO_MODEL.search(one)
    ]
    models: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
    incomplete: list[InvalidRequest] = []
    for first in firsts:
        try:
            names = part_names(first, files)
        except InvalidRequest as error:
            incomplete.append(error)
            continue
        size = sum(files.size(one) for one in names)
        models.setdefault(_stem(first), []).append((size, names))
    if incomplete and not models:
        raise incomplete[0]
    pieces = [one for one in files.by_name if is_piece(one)]
    if pieces and not models:
        raise piece_refusal(f"{files.where}/{min(pieces)}")
    if len(models) > MOST_MODELS:
        raise InvalidRequest(
            f"{files.where} holds {len(models)} different models in GGUF. Name one file of it."
        )
    projector = _projector(files)
    variants = []
    for variant in models.values():
        variants += _describe(files, sorted(variant), name, projector)
    return sorted(variants, key=lambda model: (model.size_bytes, model.files))


def _describe(
    files: Listing, variants: list[tuple[int, tuple[str, ...]]], name: str, projector: str
) -> list[ModelSpec]:
    size, names = variants[0]
    header = read_gguf_from(files, names[0])
    if len(names) == 1:
        header.check_complete()
    model = describe_gguf([header], name=name, size=size)
    if projector and model.type == "LLM":
        model = _with_projector(files, model, projector)
    return [
        msgspec.structs.replace(
            model,
            quantization=quantization_of(names[0])
            or (model.quantization if len(variants) == 1 else "unknown"),
            size_bytes=size + (files.size(model.projector) if model.projector else 0),
            files=(*names, model.projector) if model.projector else names,
        )
        for size, names in variants
    ]


def _with_projector(files: Listing, model: ModelSpec, projector: str) -> ModelSpec:
    values = read_gguf_from(files, projector).values
    abilities = [*model.abilities]
    if values.get("clip.has_vision_encoder") is True:
        abilities.append("vision")
    if values.get("clip.has_audio_encoder") is True:
        abilities.append("audio")
    shape = model.shape and msgspec.structs.replace(model.shape, vision_bytes=files.size(projector))
    return msgspec.structs.replace(
        model, abilities=tuple(abilities), projector=projector, shape=shape
    )


def _projector(files: Listing) -> str:
    """The projector that is taken of a repository's; empty if it has none."""
    found = sorted(
        one for one in files.by_name if one.lower().endswith(".gguf") and is_projector(one)
    )
    for wanted in _PROJECTORS:
        for one in found:
            if quantization_of(one) == wanted:
                return one
    return found[0] if found else ""


def _stem(first: str) -> str:
    """What the quantisations of one model have in common: the name without that."""
    base = model_name(Path(first))
    return _QUANTIZATION.sub("", base).lower()


def _labels(gguf: GgufMetadata) -> tuple[str, ...]:
    labels = gguf.values.get(f"{gguf.architecture}.classifier.output_labels")
    return tuple(map(str, labels)) if isinstance(labels, list) else ()


def _languages(gguf: GgufMetadata) -> tuple[str, ...]:
    languages = gguf.values.get("general.languages")
    if isinstance(languages, list) and languages:
        return tuple(map(str, languages))
    return ("en",)
