"""The catalogue as the routes see it: built-in models are read here, registered ones asked for."""

from __future__ import annotations

from pathlib import Path

from xinfer.api.services import Services
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.describe import IsCached
from xinfer.model.catalog.registration import parse_registration
from xinfer.model.hub.cache import find_cached, needed_by
from xinfer.model.hub.presence import may_be_here
from xinfer.settings import Settings
from xinfer.types.control import ReadRegistrations
from xinfer.types.model import ModelSpec, Source


async def read_catalogue(here: Services) -> Catalogue:
    """All models that can be launched by name now.

    Raises:
        Unavailable: the supervisor, which knows those that users registered, does not answer.
    """
    registered = await here.control.call(ReadRegistrations())
    return Catalogue(parse_registration(one["kind"], one["text"]).entry for one in registered)


def cache_status(settings: Settings) -> IsCached:
    """Tells of a model whether its files are on this machine, whose caches are looked through now.
    Blocks."""
    may_be = may_be_here(settings)

    def is_there(model: ModelSpec, source: Source) -> bool:
        return (
            may_be(source) and find_cached(source, needed_by(model, source), settings) is not None
        )

    def is_cached(model: ModelSpec) -> bool:
        if not model.sources:
            return not model.path or Path(model.path).exists()
        return any(is_there(model, source) for source in model.sources)

    return is_cached
