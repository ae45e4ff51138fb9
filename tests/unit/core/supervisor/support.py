"""Values and fakes for the supervisor's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from xinfer.core.launch_question import EngineAnswers, ResolveLaunch
from xinfer.core.supervisor.observed import ObservedWorker, SlotKey
from xinfer.core.supervisor.planner import PlanPolicy
from xinfer.core.supervisor.silence import LossPolicy
from xinfer.core.supervisor.state import ClusterState
from xinfer.core.supervisor.store import StoredRegistration
from xinfer.errors import Unavailable, XinferError
from xinfer.model.catalog.resolve import Resolved
from xinfer.types.cluster import (
    Assignment,
    CachedModel,
    ReadReplicaLog,
    RemoveCached,
    RemoveEnvironments,
    ReplicaReport,
    SetQueue,
    StopReplica,
    VirtualEnvironment,
    WorkerReport,
)
from xinfer.types.declaration import Declaration
from xinfer.types.deployment import Deployment, DeploymentState, DeploymentStatus, LaunchSpec
from xinfer.types.device import CPU, Device
from xinfer.types.failure import Failure
from xinfer.types.model import Abilities, Loaded, ModelSpec, Progress

PENDING = DeploymentState.PENDING
LOADING = DeploymentState.LOADING
READY = DeploymentState.READY
DRAINING = DeploymentState.DRAINING
RESTARTING = DeploymentState.RESTARTING
ERROR = DeploymentState.ERROR
TERMINATED = DeploymentState.TERMINATED

GIB = 1 << 30
PROCESSORS = Device(
    kind=CPU, index=0, name="CPU", cores=4, memory_total=16 * GIB, memory_free=12 * GIB
)
ENGINES: dict[str, tuple[str, ...]] = {"echo": ()}
POLICY = PlanPolicy(epoch="epoch", backoff=1.0, backoff_max=5.0, limit=3, window=100.0)
LOADED = Loaded(context_length=128, concurrency=4, abilities=Abilities())
CRASH = Failure("ReplicaLost", "It was killed by signal 9.", "replica_lost")
BAD_OPTION = Failure("InvalidRequest", "There is no such option.", "invalid_request")
CORRUPT = Failure("EngineFailed", "A file is not what it should be.", "corrupt_file")


def deployment(
    uid: str = "m", *, generation: int = 1, replicas: int = 1, max_queue: int = 10, created: int = 0
) -> Deployment:
    return Deployment(
        uid=uid,
        generation=generation,
        created=created,
        spec=LaunchSpec(model_name="echo", model_uid=uid, replica=replicas),
        model=ModelSpec(name="echo"),
        engine="echo",
        options={},
        replicas=replicas,
        max_queue=max_queue,
    )


def observed_worker(worker_id: str) -> ObservedWorker:
    return ObservedWorker(worker_id, f"{worker_id}:1", (PROCESSORS,), ENGINES)


def assignment(
    wanted: Deployment, replica_id: str = "r", *, ordinal: int = 0, restarts: int = 0
) -> Assignment:
    return Assignment(
        replica_id=replica_id,
        ordinal=ordinal,
        deployment=wanted,
        max_queue=1,
        restarts=restarts,
        created=7,
    )


def replica(
    given: Assignment,
    state: DeploymentState = READY,
    *,
    failure: Failure | None = None,
    progress: Progress | None = None,
) -> ReplicaReport:
    return ReplicaReport(
        assignment=given,
        state=state,
        pid=100,
        address="unix:/r.sock" if state is READY else "",
        loaded=LOADED if state is READY else None,
        failure=failure,
        progress=progress or Progress(0.5, "loading"),
    )


def report(
    *replicas: ReplicaReport,
    worker_id: str = "w1",
    address: str = "127.0.0.1:1",
    sequence: int = 1,
    leaving: bool = False,
    devices: tuple[Device, ...] = (PROCESSORS,),
) -> WorkerReport:
    return WorkerReport(
        worker_id=worker_id,
        address=address,
        version="1",
        sequence=sequence,
        replicas=replicas,
        leaving=leaving,
        devices=devices,
        engines=ENGINES,
    )


def cluster_state() -> ClusterState:
    return ClusterState(
        policy=POLICY,
        link_token=b"token",
        started=1.0,
        loss=LossPolicy(silence=10.0, patience=60.0),
    )


class Clock:
    """Monotonic seconds that pass when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class MemoryStore:
    """A store that forgets when its process ends; with `refusal`, one that refuses changes."""

    def __init__(self, first_generation: int = 1) -> None:
        self.epoch = 7
        self.refusal: XinferError | None = None
        self._first_generation = first_generation
        self._deployments: dict[str, Deployment] = {}
        self._generations: dict[str, int] = {}
        self._declarations: dict[str, Declaration] = {}
        self._registrations: dict[str, StoredRegistration] = {}

    async def load(self) -> list[Deployment]:
        return list(self._deployments.values())

    async def put(self, deployment: Deployment) -> None:
        if self.refusal is not None:
            raise self.refusal
        last = self._generations.get(deployment.uid, 0)
        if deployment.generation < last:
            raise ValueError(
                f"generation {deployment.generation} of {deployment.uid!r} is older than {last}"
            )
        self._deployments[deployment.uid] = deployment
        self._generations[deployment.uid] = deployment.generation

    async def delete(self, uid: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self._deployments.pop(uid, None)

    async def last_generation(self, uid: str) -> int:
        return self._generations.get(uid, 0)

    async def next_generation(self, uid: str) -> int:
        return max(self._generations.get(uid, 0) + 1, self._first_generation)

    async def declarations(self) -> list[Declaration]:
        return list(self._declarations.values())

    async def declare(self, declaration: Declaration) -> None:
        if self.refusal is not None:
            raise self.refusal
        self._declarations[declaration.uid] = declaration

    async def undeclare(self, uid: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self._declarations.pop(uid, None)

    async def load_registrations(self) -> list[StoredRegistration]:
        return list(self._registrations.values())

    async def put_registration(self, registration: StoredRegistration) -> None:
        if self.refusal is not None:
            raise self.refusal
        self._registrations[registration.name] = registration

    async def delete_registration(self, name: str) -> None:
        if self.refusal is not None:
            raise self.refusal
        self._registrations.pop(name, None)

    async def close(self) -> None:
        return


class FakeWorkers:
    """Records calls; `failing` maps a method to what it raises, `gate` holds starts back."""

    def __init__(self) -> None:
        self.started: list[tuple[str, Assignment]] = []
        self.stopped: list[tuple[str, StopReplica]] = []
        self.dismissed: list[str] = []
        self.requeued: list[tuple[str, int]] = []
        self.caches: dict[str, list[CachedModel]] = {}
        self.virtual: dict[str, list[VirtualEnvironment]] = {}
        self.resolving: dict[str, Resolved | Exception] = {}
        """What a launch comes to on a worker, by address."""
        self.asked: list[str] = []
        """Addresses of the workers that were asked for that."""
        self.questions: list[ResolveLaunch] = []
        self.engine_answers: dict[str, EngineAnswers] = {}
        self.failing: dict[str, Exception] = {}
        self.gate: asyncio.Event | None = None

    async def start(self, address: str, assignment: Assignment) -> None:
        if self.gate is not None:
            await self.gate.wait()
        self._raise("start")
        self.started.append((address, assignment))

    async def stop(self, address: str, stop: StopReplica) -> None:
        self._raise("stop")
        self.stopped.append((address, stop))

    async def set_queue(self, address: str, request: SetQueue) -> None:
        self._raise("set_queue")
        self.requeued.append((request.replica_id, request.max_queue))

    async def logs(self, address: str, request: ReadReplicaLog) -> list[str]:
        self._raise("logs")
        return [f"{request.replica_id} at {address}"][: request.lines]

    async def environments(self, address: str) -> list[VirtualEnvironment]:
        self._raise("environments")
        return self.virtual.get(address, [])

    async def remove_environments(self, address: str, request: RemoveEnvironments) -> bool:
        self._raise("remove_environments")
        there = self.virtual.get(address, [])
        self.virtual[address] = [one for one in there if request.model_name not in one.models]
        return len(self.virtual[address]) < len(there)

    async def resolve(self, address: str, question: ResolveLaunch) -> Resolved:
        self.asked.append(address)
        self.questions.append(question)
        found = self.resolving[address]
        if isinstance(found, Exception):
            raise found
        return found

    async def engines(self, address: str, question: ResolveLaunch) -> EngineAnswers:
        self.questions.append(question)
        if f"engines at {address}" in self.failing:
            raise self.failing[f"engines at {address}"]
        return self.engine_answers[address]

    async def leave(self, address: str) -> None:
        self._raise("leave")
        self.dismissed.append(address)

    async def cached(self, address: str) -> list[CachedModel]:
        self._raise(f"cached at {address}")
        return self.caches.get(address, [])

    async def remove_cached(self, address: str, request: RemoveCached) -> int:
        self._raise("remove_cached")
        there = self.caches.get(address, [])
        self.caches[address] = [each for each in there if each.model_version != request.version]
        return len(there) - len(self.caches[address])

    def _raise(self, method: str) -> None:
        if method in self.failing:
            raise self.failing[method]


def unreachable() -> XinferError:
    return Unavailable("worker cannot be reached: refused.", code="unreachable")


async def turns(count: int = 20) -> None:
    """Let everything run that can run now."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(look: Callable[[], Any], *, within: float = 20.0) -> None:
    """Let the event loop run until `look` gives something truthy."""

    async def wait() -> None:
        while not look():  # noqa: ASYNC110 - what is looked at has no event
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), within)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(main(), 60)

    asyncio.run(bounded())


class World:
    """A state with one worker, `w1`, whose reports are numbered by themselves."""

    def __init__(self, replicas: int = 1) -> None:
        self.state: ClusterState = cluster_state()
        self.wanted = deployment(replicas=replicas)
        self.state.put(self.wanted)
        self.sequence = 0
        self.says()

    def says(
        self, *replicas: ReplicaReport, now: float = 0.0, leaving: bool = False
    ) -> tuple[str, ...]:
        self.sequence += 1
        return self.state.apply(report(*replicas, sequence=self.sequence, leaving=leaving), now)

    def starts(self, replica_id: str = "r", ordinal: int = 0, restarts: int = 0) -> None:
        given = assignment(self.wanted, replica_id, ordinal=ordinal, restarts=restarts)
        self.state.begin_start(given, "w1")

    def has(
        self, state: DeploymentState, replica_id: str = "r", ordinal: int = 0, restarts: int = 0
    ) -> ReplicaReport:
        given = assignment(self.wanted, replica_id, ordinal=ordinal, restarts=restarts)
        return replica(given, state, failure=CRASH if state is ERROR else None)

    def takers(self, now: float) -> tuple[str, ...]:
        return tuple(each.worker_id for each in self.state.observed(now).workers)

    @property
    def status(self) -> DeploymentStatus:
        return self.state.statuses()["m"]

    @property
    def states(self) -> list[DeploymentState]:
        return [each.state for each in self.status.replicas]

    def failures(self) -> int:
        history = self.state.observed(0.0).histories.get(SlotKey("m", 1, 0))
        return len(history.failures) if history else 0
