"""What a launch is resolved against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from xinfer.errors import XinferError
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.host import Host
from xinfer.types.model import ModelSpec, Source


class Hubs(Protocol):
    """Models on hubs, and those that were had from there before. Its methods block."""

    def cached(self, source: Source) -> list[ModelSpec]:
        """The forms of a repository's model that are here whole, each with its own files in
        `sources`. Asks no hub."""
        ...

    def inspect(self, sources: Sequence[Source]) -> list[ModelSpec]:
        """The forms of the model in the first of these repositories whose hub answers, each with
        that source and its own files. Downloads small files and headers at the most.

        Raises:
            NotFound, Forbidden, InvalidRequest: no hub has it, gives it, or it is no model.
            Unavailable: no hub can be reached (`hub_unreachable`).
        """
        ...

    def located(self, model: ModelSpec) -> ModelSpec:
        """The model with the path where it is on this machine; as it is where it is not here."""
        ...

    def damage(self, model: ModelSpec) -> XinferError | None:
        """Which file of a model that is here is not as its hub said, and what mends it. None where
        all are, or nobody knows. Reads all files."""
        ...

    def kept(self) -> list[str]:
        """What was had from a hub and is here, as a launch would name it."""
        ...


class Surroundings(NamedTuple):
    """The models there are by name, the hubs, and the machines."""

    catalogue: Catalogue
    hubs: Hubs
    host: Host = Host()
    code_allowed: bool = False
    """Whether the administrator lets engines run program code that comes with models."""
    pickle_allowed: bool = False
    """Whether the administrator lets engines load weights that are only there as pickles."""
