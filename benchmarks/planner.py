"""R13: what one change costs the supervisor of a large cluster, and one choice the gateway."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from benchmarks.harness import CannotMeasure
from benchmarks.report import Figure, Row
from benchmarks.settings import Settings
from xinfer.core.gateway import Gateway, RoutingTable
from xinfer.core.supervisor.observed import (
    Observed,
    ObservedReplica,
    ObservedWorker,
    SlotHistory,
)
from xinfer.core.supervisor.planner import Plan, PlanPolicy, Start, plan
from xinfer.settings import Settings as ServerSettings
from xinfer.types.deployment import (
    Deployment,
    DeploymentState,
    DeploymentStatus,
    LaunchSpec,
    ReplicaStatus,
    Snapshot,
)
from xinfer.types.device import CPU, Device, DeviceShare, Holder
from xinfer.types.model import Memory, ModelSpec

_WORKERS = 1000
_ACCELERATORS = 8
_DEPLOYMENTS = 500
_REPLICAS = 20  # of each deployment
_REPEATS = 5
_CHOICES = 2000
_GIB = 1 << 30
_SIZE = 20 * _GIB
_NOW = 1e6
_POLICY = PlanPolicy(epoch="r13", backoff=0.5, backoff_max=30.0, limit=4, window=300.0)
_UNBOUNDED = msgspec.structs.replace(_POLICY, launches=_DEPLOYMENTS * _REPLICAS)
_AT_ONCE = _WORKERS * _POLICY.launches  # replicas that may load at the same time
_MILLISECONDS, _MICROSECONDS = 1e3, 1e6


def measure(settings: Settings) -> Figure:
    """1,000 workers with 8 accelerators each and 10,000 replicas on them, as plain values.

    Raises:
        CannotMeasure: a plan is not what the change asks for.
    """
    desired = {each.uid: each for each in map(_deployment, range(_DEPLOYMENTS))}
    empty = Observed(workers=tuple(_worker(n, ()) for n in range(_WORKERS)))
    cold = _planned(desired, empty, starts=_DEPLOYMENTS * _REPLICAS, policy=_UNBOUNDED)
    steady = _running(cold)
    loading = _loading(empty, _planned(desired, empty, starts=_AT_ONCE))
    crashed = msgspec.structs.replace(steady, replicas=steady.replicas[:-1])
    launched = {**desired, "new": _deployment(_DEPLOYMENTS, uid="new", replicas=1)}
    huge = {**desired, "huge": _deployment(_DEPLOYMENTS, uid="huge", replicas=1, size=5000 * _GIB)}
    table = RoutingTable()
    table.update(_snapshot(desired, cold))
    gateway = Gateway(table, ServerSettings())
    repeats = range(settings.repeats or _REPEATS)

    def planning(wanted: dict[str, Deployment], observed: Observed, starts: int) -> list[float]:
        return [
            _seconds(lambda: _planned(wanted, observed, starts=starts)) * _MILLISECONDS
            for _ in repeats
        ]

    rows = [
        Row("a replica ended: its plan", "ms", planning(desired, crashed, 1), 50.0),
        Row("a model was launched: its plan", "ms", planning(launched, steady, 1), 50.0),
        Row("a model has no room: its plan, with the reason", "ms", planning(huge, steady, 0)),
        Row("nothing changed", "ms", planning(desired, steady, 0)),
        Row("everything starts: the first plan", "ms", planning(desired, empty, _AT_ONCE)),
        Row("half loads and half waits for its turn", "ms", planning(desired, loading, 0)),
        Row(
            "the gateway's choice among 20 replicas",
            "µs",
            [_choice(gateway) for _ in repeats],
            20.0,
        ),
    ]
    return Figure("R13", "processor time of 1,000 workers, 8,000 devices, 10,000 replicas", rows)


def _deployment(
    number: int, *, uid: str = "", replicas: int = _REPLICAS, size: int = _SIZE
) -> Deployment:
    uid = uid or f"model-{number}"
    return Deployment(
        uid=uid,
        generation=1,
        created=number,
        spec=LaunchSpec(model_name=uid, replica=replicas),
        model=ModelSpec(name=uid),
        engine="llama-cpp-python",
        options={},
        replicas=replicas,
        max_queue=100,
        memory=Memory(
            weights=size, accelerator_overhead=_GIB, overhead=_GIB, divides=True, spills=True
        ),
    )


def _worker(number: int, holders: tuple[tuple[DeviceShare, str], ...]) -> ObservedWorker:
    """With what these replicas hold on its devices."""
    held: dict[int, list[Holder]] = {}
    for share, replica_id in holders:
        held.setdefault(share.index, []).append(Holder(1, share.memory, replica_id))
    accelerators = []
    for index in range(_ACCELERATORS):
        there = tuple(held.get(index, ()))
        used = sum(each.memory for each in there)
        accelerators.append(
            Device(
                kind="cuda",
                index=index,
                name="GPU",
                memory_total=80 * _GIB,
                memory_used=used,
                memory_free=80 * _GIB - used,
                holders=there,
            )
        )
    main = Device(
        kind=CPU, index=0, name="CPU", memory_total=512 * _GIB, memory_free=400 * _GIB, cores=64
    )
    engines = {"llama-cpp-python": ("cuda",)}
    return ObservedWorker(f"w{number:04}", f"10.0.0.1:{number}", (*accelerators, main), engines)


def _running(planned: Plan) -> Observed:
    """What is observed when all that was started has loaded."""
    starts = [each for each in planned.actions if isinstance(each, Start)]
    by_worker: dict[str, list[tuple[DeviceShare, str]]] = {}
    for start in starts:
        for share in start.devices:
            by_worker.setdefault(start.worker_id, []).append((share, start.replica_id))
    ready = DeploymentState.READY
    return Observed(
        workers=tuple(_worker(n, tuple(by_worker.get(f"w{n:04}", ()))) for n in range(_WORKERS)),
        replicas=tuple(
            ObservedReplica(
                each.replica_id,
                each.slot,
                each.worker_id,
                ready,
                devices=each.devices,
                max_queue=each.max_queue,
            )
            for each in starts
        ),
        histories={each.slot: SlotHistory(starts=1) for each in starts},
    )


def _loading(empty: Observed, planned: Plan) -> Observed:
    """What is observed once the plan's replicas load; they hold no memory yet."""
    starts = [each for each in planned.actions if isinstance(each, Start)]
    return msgspec.structs.replace(
        empty,
        replicas=tuple(
            ObservedReplica(
                each.replica_id,
                each.slot,
                each.worker_id,
                DeploymentState.LOADING,
                devices=each.devices,
                max_queue=each.max_queue,
            )
            for each in starts
        ),
        histories={each.slot: SlotHistory(starts=1) for each in starts},
    )


def _snapshot(desired: dict[str, Deployment], planned: Plan) -> Snapshot:
    replicas: dict[str, list[ReplicaStatus]] = {}
    for start in planned.actions:
        assert isinstance(start, Start)
        status = ReplicaStatus(
            replica_id=start.replica_id,
            ordinal=start.slot.ordinal,
            state=DeploymentState.READY,
            address="unix:/r",
        )
        replicas.setdefault(start.slot.uid, []).append(status)
    return Snapshot(
        epoch="r13",
        version=1,
        deployments={
            uid: DeploymentStatus(
                deployment=each, state=DeploymentState.READY, replicas=tuple(replicas[uid])
            )
            for uid, each in desired.items()
        },
        link_token=b"",
        started=0.0,
    )


def _planned(
    desired: dict[str, Deployment],
    observed: Observed,
    *,
    starts: int,
    policy: PlanPolicy = _POLICY,
) -> Plan:
    planned = plan(desired, observed, _NOW, policy)
    if len(planned.actions) != starts or not all(isinstance(a, Start) for a in planned.actions):
        raise CannotMeasure(f"{len(planned.actions)} actions were planned instead of {starts}.")
    return planned


def _choice(gateway: Gateway) -> float:
    def choose() -> None:
        for number in range(_CHOICES):
            gateway._choose(f"model-{number % _DEPLOYMENTS}", set())

    return _seconds(choose) / _CHOICES * _MICROSECONDS


def _seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
