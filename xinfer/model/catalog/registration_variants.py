"""The variants of a registered model: formats, sizes, repositories, paths on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.catalog.registration_body import Body, Place, Spec
from xinfer.model.catalog.schema import GGUF, HUBS, UNQUANTISED, Repository, Variant

_FORMATS = {
    "LLM": ("pytorch", "gptq", "awq", "fp4", "fp8", "bnb", "ggufv2"),
    "embedding": ("pytorch", "ggufv2"),
    "rerank": ("pytorch", "ggufv2"),
}
_FIELD_OF_HUB = {hub: field for field, hub in HUBS.items()}
_REPO = re.compile(r"[\w.-]{1,96}/[\w.{}-]{1,128}", re.ASCII)


def parse_variants(kind: str, body: Body) -> tuple[Variant, ...]:
    """The variants of a registered model.

    Raises:
        InvalidRequest: with `param` naming the field of the JSON.
    """
    if body.model_specs is None:
        return tuple(_expand(kind, body, ""))
    if not body.model_specs:
        raise InvalidRequest("model_specs is empty: give at least one.", param="model_specs")
    return tuple(
        variant
        for number, spec in enumerate(body.model_specs)
        for variant in _expand(kind, spec, f"model_specs[{number}].")
    )


def _expand(kind: str, spec: Spec, at: str) -> list[Variant]:
    """The variants of one spec: one that hubs have, or one for each quantisation on this disk."""
    form = _format(kind, spec, at)
    size = _size(spec.model_size_in_billions, f"{at}model_size_in_billions")
    activated = _size(spec.activated_size_in_billions, f"{at}activated_size_in_billions")
    variant = Variant(format=form, size=size, activated=activated)
    if spec.model_uri:
        return [
            msgspec.structs.replace(
                variant,
                path=_path(spec, one, at),
                quantizations=() if one == UNQUANTISED else (one,),
            )
            for one in _quantizations(spec) or (UNQUANTISED,)
        ]
    places: dict[str, tuple[Place, str]] = {spec.model_hub: (spec, at)}
    if spec.model_src:
        places = {hub: (one, f"{at}model_src.{hub}.") for hub, one in spec.model_src.items()}
    repositories = {
        _hub_field(hub, at): _repository(form, place, where)
        for hub, (place, where) in places.items()
    }
    return [msgspec.structs.replace(variant, **repositories)]


def _format(kind: str, spec: Spec, at: str) -> str:
    allowed = _FORMATS.get(kind)
    if allowed is None:
        return ""
    form = (spec.model_format or "pytorch").lower()
    if form not in allowed:
        raise InvalidRequest(
            f"{at}model_format is {form[:100]!r}. Formats of a model of type {kind}: "
            f"{', '.join(allowed)}.",
            param=f"{at}model_format",
        )
    return form


def _size(value: float | str | None, at: str) -> float | None:
    """Billions of parameters, as a number or as text: 7, "1.8", "0_5"."""
    if value is None:
        return None
    try:
        size = float(value.replace("_", ".") if isinstance(value, str) else value)
    except ValueError:
        size = 0.0
    if not 0 < size < 1e6:
        raise InvalidRequest(
            f'{at} is {value!r}; expected billions of parameters such as 7, "1.8" or "0_5".',
            param=at,
        )
    return size


def _quantizations(place: Place) -> tuple[str, ...]:
    named = place.quantizations or ([place.quantization] if place.quantization else [])
    return tuple(name for name in named if name and name.lower() != UNQUANTISED)


def _hub_field(hub: str, at: str) -> str:
    if hub not in _FIELD_OF_HUB:
        raise InvalidRequest(
            f"{at}model_hub is {hub[:100]!r}. Hubs: {', '.join(_FIELD_OF_HUB)}.",
            param=f"{at}model_hub",
        )
    return _FIELD_OF_HUB[hub]


def _repository(form: str, place: Place, at: str) -> Repository:
    if not place.model_id:
        raise InvalidRequest(
            f"{at}model_id and {at}model_uri are missing: give a repository (owner/name), or a "
            "path of the server as file:///path.",
            param=f"{at}model_uri",
        )
    if not _REPO.fullmatch(place.model_id) or ".." in place.model_id:
        raise InvalidRequest(
            f"{at}model_id is {place.model_id[:200]!r}; expected a repository as owner/name.",
            param=f"{at}model_id",
        )
    for field in ("model_file_name_template", "model_file_name_split_template"):
        _check_inside(getattr(place, field), f"{at}{field}")
    for name in place.multimodal_projectors or ():
        _check_inside(name, f"{at}multimodal_projectors")
    if form == GGUF and not (place.model_file_name_template or place.quantization_parts):
        raise InvalidRequest(
            f"{at}model_file_name_template is missing: the name of the .gguf file, where "
            "{quantization} stands for the quantisation.",
            param=f"{at}model_file_name_template",
        )
    return Repository(
        repo=place.model_id,
        revision=place.model_revision,
        quantizations=_quantizations(place),
        file=place.model_file_name_template or "",
        split_file=place.model_file_name_split_template or "",
        parts=_parts(place, at),
        projectors=tuple(place.multimodal_projectors or ()),
    )


def _parts(place: Place, at: str) -> dict[str, int]:
    counts = {}
    for quantization, parts in (place.quantization_parts or {}).items():
        whole = [f"{one:05d}-of-{len(parts):05d}" for one in range(1, len(parts) + 1)]
        if parts != whole or not place.model_file_name_split_template:
            raise InvalidRequest(
                f"{at}quantization_parts.{quantization}: expected all of 00001-of-N to N-of-N, "
                "each with five digits, and their file name as model_file_name_split_template. "
                "Files that were cut in another way have to be joined first.",
                param=f"{at}quantization_parts",
            )
        counts[quantization] = len(parts)
    return counts


def _path(spec: Spec, quantization: str, at: str) -> str:
    """The directory or the file of one quantisation on this machine."""
    uri = (spec.model_uri or "").replace("{quantization}", quantization)
    split = urlsplit(uri)
    path = unquote(split.path) if split.scheme == "file" and not split.netloc else uri
    if "\0" in path or not path.startswith("/"):
        raise InvalidRequest(
            f"{at}model_uri is {uri[:200]!r}; expected an absolute path of the server, as "
            "file:///path.",
            param=f"{at}model_uri",
        )
    name = spec.model_file_name_template
    parts = _parts(spec, at)
    if quantization in parts:
        name = (spec.model_file_name_split_template or "").replace(
            "{part}", f"00001-of-{parts[quantization]:05d}"
        )
    _check_inside(name, f"{at}model_file_name_template")
    if name and not path.lower().endswith(".gguf"):
        return str(Path(path, name.replace("{quantization}", quantization)))
    return path


def _check_inside(name: str | None, at: str) -> None:
    """Let a file's name pass that lies within its repository."""
    if name and (name.startswith("/") or ".." in name.split("/") or "\\" in name or "\0" in name):
        raise InvalidRequest(
            f"{at} is {name[:200]!r}; expected a name below the model's directory.", param=at
        )
