"""The built-in models: a data file for each type, read when it is first asked for."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec

from xinfer.model.catalog.schema import TYPES, Entry
from xinfer.types.model import ModelSpec

SHIPPED = "shipped"
"""Data file of the models that need no download."""


@cache
def read_entries(file: str) -> tuple[Entry, ...]:
    """The models of one data file: a type in lower case, or `SHIPPED`."""
    data = (files(__package__) / "models" / f"{file}.jsonl").read_bytes()
    return tuple(msgspec.json.Decoder(Entry).decode_lines(data))


def entries(kind: str) -> list[Entry]:
    """The models of one type, by name; those that ship with the package among them."""
    own = read_entries(kind.lower()) if kind in TYPES else ()
    shipped = [entry for entry in read_entries(SHIPPED) if entry.type == kind]
    return sorted([*shipped, *own], key=lambda entry: entry.name.lower())


def on_this_machine(model: ModelSpec) -> ModelSpec:
    """The model with its files where they are here: those of the catalogue come with the package,
    which need not be installed where it is on the machine that resolved the launch."""
    if model.hub != "builtin" or not model.path:
        return model
    for entry in read_entries(SHIPPED):
        for own in entry.models() if entry.name == model.name else ():
            if (own.format, own.quantization) == (model.format, model.quantization):
                return msgspec.structs.replace(model, path=own.path)
    return model
