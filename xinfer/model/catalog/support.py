"""Which engines can run a model, and what they compute on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from xinfer.model.catalog.host import Host
from xinfer.model.engine import BUILTIN, Support, engine_names, find_engine
from xinfer.types.model import ModelSpec


class EngineSupport(NamedTuple):
    """What one engine says of one model."""

    engine: str
    model: ModelSpec
    support: Support
    kinds: frozenset[str]
    """Kinds of accelerator that it computes on as it is installed."""


def ordered_engines() -> list[str]:
    """Names of all engines, the built-in ones first and in their order of preference."""
    return [*BUILTIN, *(name for name in engine_names() if name not in BUILTIN)]


def ask_engines(
    names: Iterable[str], models: Iterable[ModelSpec], host: Host
) -> list[EngineSupport]:
    """What each engine says of each model, engine by engine.

    An engine of somebody else that cannot even be imported runs nothing, for that reason.
    """
    models = list(models)
    asked: list[EngineSupport] = []
    for name in names:
        try:
            name, engine = find_engine(name)
            kinds = host.engines.get(name) or engine.accelerators() or frozenset()
            asked += [EngineSupport(name, model, engine.support(model), kinds) for model in models]
        except (ImportError, AttributeError) as error:
            broken = Support(False, f"it cannot be imported: {error}")
            asked += [EngineSupport(name, model, broken, frozenset()) for model in models]
    return asked


def reason_of(support: Support) -> str:
    """Why an engine cannot, and what would bring it, as a clause."""
    install = f" (pip install 'xinfer[{support.extra}]')" if support.extra else ""
    return f"{support.reason}{install}"
