"""The catalogue's entries, one data file for each model."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

import msgspec

from xinfer.types.model import ModelSpec


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One form of a model's weights."""

    format: str = ""
    """pytorch, ggufv2, …; empty for a model without files."""
    size_in_billions: float | None = None
    quantization: str = "none"
    weights: str = ""
    """File or directory among the weights that ship with the package."""

    @property
    def path(self) -> Path | None:
        return Path(str(files(__package__))) / "weights" / self.weights if self.weights else None

    @property
    def cached(self) -> bool:
        """Whether nothing has to be downloaded before it can be loaded."""
        return self.path is None or self.path.exists()


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the catalogue; the first variant that runs here is the one launched."""

    name: str
    type: str
    family: str
    description: str
    languages: tuple[str, ...]
    abilities: tuple[str, ...]
    context_length: int
    variants: tuple[Variant, ...]

    def models(self) -> list[ModelSpec]:
        """Every variant as a model to load."""
        return [self._model(variant) for variant in self.variants]

    def _model(self, variant: Variant) -> ModelSpec:
        path = variant.path
        return ModelSpec(
            name=self.name,
            type=self.type,
            family=self.family,
            format=variant.format,
            path=str(path or ""),
            size_in_billions=variant.size_in_billions,
            quantization=variant.quantization,
            context_length=self.context_length,
            abilities=self.abilities,
            languages=self.languages,
            description=self.description,
            hub="builtin",
            size_bytes=path.stat().st_size if path and path.is_file() else 0,
        )


@cache
def entries() -> tuple[Entry, ...]:
    """All models of the catalogue, by name."""
    found = [
        msgspec.json.decode(file.read_bytes(), type=Entry)
        for file in files(__package__).joinpath("models").iterdir()
        if file.name.endswith(".json")
    ]
    return tuple(sorted(found, key=lambda entry: entry.name.lower()))


def on_this_machine(model: ModelSpec) -> ModelSpec:
    """The model with its files where they are here: those of the catalogue come with the package,
    which need not be installed where it is on the machine that resolved the launch."""
    if model.hub != "builtin" or not model.path:
        return model
    for own in (own for entry in entries() if entry.name == model.name for own in entry.models()):
        if (own.format, own.quantization) == (model.format, model.quantization):
            return msgspec.structs.replace(model, path=own.path)
    return model
