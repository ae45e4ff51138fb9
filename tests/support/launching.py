"""A launch by path, from its name to an answer, without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.token_engine import driving
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.remote import RemoteModels
from xinfer.model.catalog.resolve import Resolved, resolve
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.model.encode_engine import EmbedResult, Pair, RankResult
from xinfer.model.engine import find_engine, parse_options
from xinfer.settings import Settings
from xinfer.types.deployment import LaunchSpec


def launched(path: Path, engine: str, home: Path, **options: Any) -> Resolved:
    """What a launch of these files on this engine is resolved to."""
    around = Surroundings(Catalogue(), RemoteModels(Settings(home=str(home))))
    spec = LaunchSpec(
        model_name=str(path), model_engine=engine, options={"n_threads": 1, **options}
    )
    found = resolve(spec, around)
    assert found.engine == engine
    assert found.memory.weights > 0
    return found


def constructed(found: Resolved) -> Any:
    name, kind = find_engine(found.engine)
    assert kind.support(found.model).ok
    return kind(found.model, parse_options(kind, name, found.options))


async def answers(found: Resolved) -> None:
    """It loads, and completes a prompt."""
    async with driving(constructed(found), found.model) as driver:
        answer = await driver.ask([5, 6, 7], 3)
        assert answer.failure is None
        assert len(answer.ids) <= 3


def encodes(found: Resolved, kind: str) -> None:
    """It loads, and makes a vector of a text or a score of a pair."""
    assert found.model.type == kind
    engine = constructed(found)
    engine.load(lambda _: None)
    try:
        item = "the cat" if kind == "embedding" else Pair("the cat", "the dog")
        (result,) = engine.encode(engine.tokenize([item]))
        assert isinstance(result, EmbedResult if kind == "embedding" else RankResult)
    finally:
        engine.close()
