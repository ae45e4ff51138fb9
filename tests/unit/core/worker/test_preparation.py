"""What a replica has here before it starts: how far that has come, and what it leads to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.unit.core.supervisor.support import deployment
from xinfer.core.worker.downloads import SHARE
from xinfer.core.worker.logs import LineLog
from xinfer.core.worker.preparation import Preparation
from xinfer.types.deployment import Deployment
from xinfer.types.model import FileProgress, ModelSpec, Progress, Source

pytestmark = pytest.mark.anyio
SOURCE = Source(hub="huggingface", repo="someone/model")


class Here:
    """In the place of downloads and of environments."""

    def __init__(self) -> None:
        self.left = False

    async def obtain(
        self, model: ModelSpec, on_files: Callable[[tuple[FileProgress, ...]], None]
    ) -> ModelSpec:
        assert model.sources == (SOURCE,)
        on_files((FileProgress(name="a", downloaded_bytes=50, total_bytes=100),))
        return msgspec.structs.replace(model, path="/here")

    @asynccontextmanager
    async def interpreter(
        self, packages: Any, find_links: Any, *, say: Callable[[str], None], **_: Any
    ) -> AsyncIterator[str]:
        say("Collecting " + packages[0])
        yield "/venv/bin/python"
        self.left = True


def preparation(given: Deployment) -> tuple[Preparation, list[Progress], LineLog, Here]:
    here: Any = Here()
    told: list[Progress] = []
    log = LineLog(10)
    made = Preparation(given, downloads=here, environments=here, log=log, on_progress=told.append)
    return made, told, log, here


def wanting(model: dict[str, Any], **spec: Any) -> Deployment:
    plain = deployment()
    return msgspec.structs.replace(
        plain,
        model=msgspec.structs.replace(plain.model, **model),
        spec=msgspec.structs.replace(plain.spec, **spec),
    )


async def test_what_is_here_lacks_nothing_and_its_load_is_all_of_the_progress() -> None:
    made, told, _, _ = preparation(wanting({"path": "/model"}))
    assert not made.lacks_files
    assert not made.lacks_packages
    assert made.of_all(Progress(0.5, "loading")) == Progress(0.5, "loading")
    assert told == []


async def test_files_are_a_share_of_the_progress_and_the_load_is_the_rest() -> None:
    made, told, _, _ = preparation(wanting({"path": "", "sources": (SOURCE,)}))
    assert made.lacks_files
    await made.obtain()
    assert not made.lacks_files
    assert made.model.path == "/here"
    assert [round(one.fraction, 6) for one in told] == [round(SHARE / 2, 6), round(SHARE, 6)]
    assert made.of_all(Progress(0.0, "loading")).fraction == pytest.approx(SHARE)
    assert made.of_all(Progress(1.0, "loading")).fraction == pytest.approx(1.0)


async def test_packages_are_in_an_environment_for_as_long_as_the_replica_runs() -> None:
    made, told, log, here = preparation(wanting({"path": "/model"}, packages=("numpy",)))
    assert made.lacks_packages
    async with AsyncExitStack() as stack:
        await made.install(stack)
        assert not made.lacks_packages
        assert made.interpreter == "/venv/bin/python"
        assert not here.left
    assert here.left
    assert [one.message for one in told] == ["Collecting numpy"]
    assert log.tail(1) == ["Collecting numpy"]
