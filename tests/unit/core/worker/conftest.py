"""Replicas of the fake kind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from xinfer.core.worker.links import UnixLinks
from xinfer.core.worker.replicas import Replicas
from xinfer.settings import Settings
from xinfer.types.cluster import Assignment, ReplicaReport
from xinfer.types.deployment import Deployment, LaunchSpec
from xinfer.types.model import ModelSpec

FAKE = (sys.executable, "-ISE", str(Path(__file__).with_name("fake_replica.py")))
TOKEN = b"t" * 32
MODEL = ModelSpec(name="m")


def assignment(replica_id: str, do: str, model: ModelSpec) -> Assignment:
    return Assignment(
        replica_id=replica_id,
        ordinal=0,
        max_queue=4,
        deployment=Deployment(
            uid="m",
            generation=1,
            created=0,
            spec=LaunchSpec(model_name="m"),
            model=model,
            engine="fake",
            options={"do": do},
            replicas=1,
            max_queue=4,
        ),
    )


class Bench:
    """A set of fake replicas, and a way to wait for what their reports say."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.settings = Settings(home=str(home), **settings)
        self.home = home
        self._changed = asyncio.Event()
        self.replicas = Replicas(
            self.settings, UnixLinks(str(home)), self._changed.set, command=FAKE
        )
        self.replicas.link_token = TOKEN

    def start(self, do: str, replica_id: str = "m-0-aa", model: ModelSpec = MODEL) -> None:
        self.replicas.start(assignment(replica_id, do, model))

    def report(self, replica_id: str = "m-0-aa") -> ReplicaReport:
        found = [r for r in self.replicas.reports() if r.assignment.replica_id == replica_id]
        assert len(found) == 1
        return found[0]

    async def until(
        self, predicate: Callable[[ReplicaReport], object], replica_id: str = "m-0-aa"
    ) -> ReplicaReport:
        """The first report of the replica for which `predicate` holds."""

        async def wait() -> ReplicaReport:
            while not predicate(self.report(replica_id)):
                self._changed.clear()
                await self._changed.wait()
            return self.report(replica_id)

        return await asyncio.wait_for(wait(), 20)

    async def until_logged(self, text: str, replica_id: str = "m-0-aa") -> str:
        """The first line of the replica's output that contains `text`."""

        async def wait() -> str:
            while True:
                for line in self.replicas.log(replica_id, 1000):
                    if text in line:
                        return line
                await asyncio.sleep(0.01)

        return await asyncio.wait_for(wait(), 20)


@pytest.fixture
def bench(tmp_path: Path) -> Callable[..., Any]:
    @asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[Bench]:
        made = Bench(tmp_path, **settings)
        try:
            yield made
        finally:
            await made.replicas.close()

    return make
