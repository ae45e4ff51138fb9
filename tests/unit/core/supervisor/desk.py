"""A supervisor's service for tests, with fakes around it."""

from __future__ import annotations

import threading
from typing import Any

from tests.unit.core.supervisor.support import (
    CRASH,
    ERROR,
    FakeWorkers,
    MemoryStore,
    assignment,
    cluster_state,
    replica,
    report,
)
from xinfer.core.supervisor.service import DeploymentService
from xinfer.errors import NotFound
from xinfer.model.catalog.host import Host
from xinfer.model.catalog.resolve import Resolved
from xinfer.settings import Settings
from xinfer.types.deployment import DeploymentState, LaunchSpec
from xinfer.types.model import Memory, ModelSpec


class Desk:
    """A service with fakes around it; while `hold` is set, resolving blocks its thread."""

    def __init__(self) -> None:
        self.state = cluster_state()
        self.store = MemoryStore(first_generation=100)
        self.workers = FakeWorkers()
        self.changes = 0
        self.resolving = 0
        self.go = threading.Event()
        self.go.set()
        self.sequence = 0
        self.memory = Memory()
        self.service = DeploymentService(
            self.state,
            self.store,
            self.workers,
            Settings(max_queue=20),
            resolve=self.resolve,
            changed=self.changed,
            monotonic=lambda: 1000.0,
            unix_now=lambda: 5.9,
        )

    def resolve(self, spec: LaunchSpec, host: Host) -> Resolved:
        self.resolving += 1
        self.host = host
        assert self.go.wait(10)
        if spec.model_name == "unknown":
            raise NotFound("There is no such model.", param="model_name")
        return Resolved(ModelSpec(name=spec.model_name), "echo", {"pace": 1}, memory=self.memory)

    def changed(self) -> None:
        self.changes += 1

    async def launch(self, uid: str | None = "m", *, exist_ok: bool = False, **fields: Any) -> str:
        made = {"model_name": "echo", "model_uid": uid, **fields}
        return await self.service.launch(LaunchSpec(**made), exist_ok=exist_ok)

    def becomes(self, state: DeploymentState, uid: str = "m", replica_id: str = "r") -> None:
        self.sequence += 1
        given = assignment(self.state.desired[uid], replica_id)
        failure = CRASH if state is ERROR else None
        self.state.apply(
            report(replica(given, state, failure=failure), sequence=self.sequence), 0.0
        )

    def fails(self, uid: str = "m") -> None:
        for attempt in range(3):
            self.becomes(ERROR, uid, f"r{attempt}")
