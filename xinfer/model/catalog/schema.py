"""The shape of the catalogue: an entry is a model in all its variants, as they can be had."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import msgspec

from xinfer.types.model import ModelSpec, Source

TYPES = ("LLM", "embedding", "rerank", "image", "audio")
"""Types of model that the catalogue has."""

GGUF = "ggufv2"
UNQUANTISED = "none"
HUBS = {"hf": "huggingface", "ms": "modelscope"}
"""Fields of a variant, and the hubs that they are for, in the order in which they are asked."""

T = TypeVar("T")

_QUANTIZATION, _PART = "{quantization}", "{part}"


class Repository(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """What a hub has of a variant. What is left out is as the variant says."""

    repo: str
    """`owner/name`; `{quantization}` stands for one of its quantisations."""
    revision: str | None = None
    quantizations: tuple[str, ...] | None = None
    file: str | None = None
    split_file: str | None = None
    parts: dict[str, int] | None = None
    projectors: tuple[str, ...] | None = None


class Variant(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """A model in one format and size, in one or several quantisations."""

    format: str = ""
    """pytorch, ggufv2, gptq, …; empty where a type has but one, and for a model without files."""
    size: float | None = None
    """Billions of parameters."""
    activated: float | None = None
    """Billions of parameters that one token makes use of, of a mixture of experts."""
    quantizations: tuple[str, ...] = ()
    """Empty for one that is not quantised."""
    file: str = ""
    """Name of the file of a quantisation, where a repository has one for each."""
    split_file: str = ""
    """The same for a file in parts."""
    parts: dict[str, int] = {}
    """For each quantisation in parts, how many."""
    projectors: tuple[str, ...] = ()
    """Files through which the model sees pictures; one is enough."""
    hf: str | Repository | None = None
    """The repository on HuggingFace, by its name alone where the variant says all else."""
    ms: str | Repository | None = None
    """The same on ModelScope."""
    weights: str = ""
    """File or directory among the weights that ship with the package."""
    path: str = ""
    """File or directory that a user registered."""

    def repositories(self) -> Iterator[tuple[str, Repository]]:
        """Each hub that has it, and what it has there, nothing left out."""
        for field, hub in HUBS.items():
            there = getattr(self, field)
            if there is not None:
                yield hub, self._whole(Repository(repo=there) if isinstance(there, str) else there)

    def _whole(self, there: Repository) -> Repository:
        return Repository(
            repo=there.repo,
            revision=there.revision,
            quantizations=_first(there.quantizations, self.quantizations),
            file=_first(there.file, self.file),
            split_file=_first(there.split_file, self.split_file),
            parts=_first(there.parts, self.parts),
            projectors=_first(there.projectors, self.projectors),
        )

    def sources(self) -> dict[str, tuple[Source, ...]]:
        """Where each quantisation can be had from; no source for files that are here."""
        found: dict[str, list[Source]] = {}
        for hub, there in self.repositories():
            for quantization in there.quantizations or (UNQUANTISED,):
                found.setdefault(quantization, []).append(_source(hub, there, quantization))
        if not found:
            found = {quantization: [] for quantization in self.quantizations or (UNQUANTISED,)}
        return {quantization: tuple(sources) for quantization, sources in found.items()}

    @property
    def local_path(self) -> Path | None:
        """Where its files are on this machine without being downloaded; None if nowhere."""
        if self.weights:
            return Path(str(files(__package__))) / "weights" / self.weights
        return Path(self.path) if self.path else None


class Entry(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """One model of the catalogue."""

    name: str
    type: str
    """LLM, embedding, rerank, image or audio."""
    family: str = ""
    description: str = ""
    languages: tuple[str, ...] = ("en",)
    abilities: tuple[str, ...] = ()
    context_length: int = 0
    """Tokens, of a text for an embedding or rerank model; 0 when unknown."""
    dimensions: int = 0
    """Length of an embedding model's vectors."""
    kind: str = ""
    """How a rerank model was made: normal, LLM-based or LLM-based layerwise."""
    multilingual: bool | None = None
    """Whether an audio model knows more than English."""
    architectures: tuple[str, ...] = ()
    """Names of the model's class, as its configuration has them."""
    remote_code: bool = False
    """Whether its repository holds code that has to be run."""
    template: str = ""
    """Name of the chat template for those variants whose files have none."""
    chat_template: str = ""
    """The chat template that a user registered, in place of that of the files."""
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    tool_call_parser: str = ""
    """How it writes calls, where its chat template does not tell."""
    reasoning_tags: tuple[str, ...] = ()
    """The two texts that its thoughts stand between, where its chat template does not tell."""
    variants: tuple[Variant, ...]
    builtin: bool = True

    def models(self) -> list[ModelSpec]:
        """Every variant in every quantisation, as models to load. The files of those that are
        here have not been looked at; those of others are still to be had from their sources."""
        return [model for variant in self.variants for model in self.models_of(variant)]

    def models_of(self, variant: Variant) -> list[ModelSpec]:
        """One of the variants in every quantisation, as `models` has them."""
        return [
            self._model(variant, quantization, sources)
            for quantization, sources in variant.sources().items()
        ]

    def _model(self, variant: Variant, quantization: str, sources: tuple[Source, ...]) -> ModelSpec:
        path = variant.local_path
        first = sources[0] if sources else None
        return ModelSpec(
            name=self.name,
            type=self.type,
            family=self.family or self.name,
            format=variant.format,
            path=str(path or ""),
            sources=sources,
            size_in_billions=variant.size,
            quantization=quantization,
            context_length=self.context_length,
            dimensions=self.dimensions,
            abilities=self.abilities,
            languages=self.languages,
            description=self.description,
            hub=first.hub if first else "local" if variant.path else "builtin",
            model_id=first.repo if first else "",
            revision=first.revision if first else None,
            chat_template=self.chat_template,
            fallback_template=template_source(self.template) if self.template else "",
            stop=self.stop,
            stop_token_ids=self.stop_token_ids,
            tool_call_parser=self.tool_call_parser,
            reasoning_tags=self.reasoning_tags,
            size_bytes=path.stat().st_size if path and path.is_file() else 0,
            architecture=self.architectures[0] if self._one_class(variant) else "",
        )

    def _one_class(self, variant: Variant) -> bool:
        """Whether it is known which class its configuration names; GGUF has names of its own."""
        return len(self.architectures) == 1 and variant.format != "ggufv2"


def template_source(name: str) -> str:
    """The text of one of the chat templates that ship with the package."""
    file = files(__package__) / "templates" / f"{name}.jinja"
    return file.read_text(encoding="utf-8")


def _source(hub: str, there: Repository, quantization: str) -> Source:
    count = (there.parts or {}).get(quantization, 0)
    if count:
        parts = [f"{number:05d}-of-{count:05d}" for number in range(1, count + 1)]
        names = [(there.split_file or "").replace(_PART, part) for part in parts]
    else:
        names = [there.file] if there.file else []
        names += [f"{name}.json" for name in names if name.endswith(".onnx")]  # a voice of Piper
    if names and there.projectors:
        names.append(_projector(there.projectors))
    return Source(
        hub=hub,
        repo=there.repo.replace(_QUANTIZATION, quantization),
        revision=there.revision,
        files=tuple(name.replace(_QUANTIZATION, quantization) for name in names),
    )


def _projector(names: tuple[str, ...]) -> str:
    """The one in F16, which every build of llama.cpp computes with; else the first."""
    half = [name for name in names if "f16" in name.lower() and "bf16" not in name.lower()]
    return (half or list(names))[0]


def _first(own: T | None, default: T) -> T:
    return default if own is None else own
