"""The plan: from what is desired and what is observed to what to do next.

Pure: no input or output, no clock, no randomness. What is being done counts as done, so planning
again after applying a plan yields nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Set
from typing import NamedTuple

import msgspec

from xinfer.settings import Settings
from xinfer.types.deployment import Deployment, DeploymentState
from xinfer.types.failure import Failure

_PERMANENT = frozenset({"InvalidRequest", "NotFound", "Forbidden"})
"""Failures that lie in what was asked for: trying again would fail again."""

BY_PROGRESS = (
    DeploymentState.DRAINING,
    DeploymentState.PENDING,
    DeploymentState.LOADING,
    DeploymentState.READY,
)
"""States of a replica that lives, those that serve soonest last."""


class SlotKey(NamedTuple):
    """The place of one replica in a deployment; at most one replica lives in it."""

    uid: str
    generation: int
    ordinal: int


class FailedStart(msgspec.Struct, frozen=True):
    """A replica that ended badly, or that could not be started; `at` is monotonic."""

    at: float
    failure: Failure


class SlotHistory(msgspec.Struct, frozen=True):
    """What became of the replicas of one slot."""

    starts: int = 0
    failures: tuple[FailedStart, ...] = ()
    """Oldest first."""


class ObservedReplica(msgspec.Struct, frozen=True):
    """A replica that lives, or whose start is under way (PENDING)."""

    replica_id: str
    slot: SlotKey
    worker_id: str
    state: DeploymentState
    starts: int = 1
    """Starts of its slot, this one included."""


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """All that the plan may know of the cluster."""

    workers: tuple[str, ...] = ()
    """Ids of those that take replicas now."""
    leaving: frozenset[str] = frozenset()
    """Ids of those that go: what they run is started elsewhere, and ends when that serves."""
    replicas: tuple[ObservedReplica, ...] = ()
    histories: Mapping[SlotKey, SlotHistory] = {}
    stops: Mapping[str, float] = {}
    """Replica ids that were told to stop, and when to tell them again: infinity once they know."""


class PlanPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the plan. `epoch` keeps replica ids apart between supervisor processes."""

    epoch: str
    backoff: float
    backoff_max: float
    limit: int
    window: float

    @classmethod
    def of(cls, settings: Settings, epoch: str) -> PlanPolicy:
        return cls(
            epoch=epoch,
            backoff=settings.restart_backoff,
            backoff_max=settings.restart_backoff_max,
            limit=settings.restart_limit,
            window=settings.restart_window,
        )


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Run a replica on this worker. The id derives from slot and attempt: twice is once."""

    replica_id: str
    slot: SlotKey
    worker_id: str
    max_queue: int
    restarts: int


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """End a replica that is not wanted, and why."""

    replica_id: str
    worker_id: str
    reason: str


Action = Start | Stop


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now, why the rest waits, and when to plan again at the latest (monotonic)."""

    actions: tuple[Action, ...]
    reasons: Mapping[SlotKey, str]
    wake_at: float | None


def plan(
    desired: Mapping[str, Deployment], observed: Observed, now: float, policy: PlanPolicy
) -> Plan:
    """Decide. Starts what is missing on the least loaded workers, restarts what failed after a
    growing wait until it gives up, and stops what nobody wants."""
    occupants = {
        (each.slot.uid, each.slot.ordinal): each
        for each in observed.replicas
        if each.worker_id not in observed.leaving
    }
    placement = _Placement(observed)
    starts: list[Start] = []
    wakes: list[float] = []
    reasons: dict[SlotKey, str] = {}
    pursued: set[SlotKey] = set()  # slots that are to have a replica soon
    for deployment in sorted(desired.values(), key=lambda each: (each.created, each.uid)):
        for ordinal in range(deployment.replicas):
            slot = SlotKey(deployment.uid, deployment.generation, ordinal)
            occupant = occupants.get((slot.uid, ordinal))
            if occupant is not None:
                if occupant.state is not DeploymentState.READY:
                    pursued.add(slot)
                if occupant.slot != slot:
                    reasons[slot] = "Waiting for the replica of an earlier launch to leave."
                continue
            history = observed.histories.get(slot, SlotHistory())
            if has_given_up(history, policy):
                reasons[slot] = "Failed; not started again."
                continue
            due = restart_at(history, policy)
            if due > now:
                wakes.append(due)
                pursued.add(slot)
                count = len(history.failures)
                wait = due - history.failures[-1].at
                reasons[slot] = f"Failed {_times(count)}; starting again after {wait:g} s."
                continue
            worker_id = placement.choose(slot.uid)
            if worker_id is None:
                reasons[slot] = "Waiting for a worker: none is connected that takes models."
                continue
            pursued.add(slot)
            starts.append(
                Start(
                    replica_id=replica_id(slot, history.starts, policy.epoch),
                    slot=slot,
                    worker_id=worker_id,
                    max_queue=queue_share(deployment, ordinal),
                    restarts=history.starts,
                )
            )
    stops = _plan_stops(desired, observed, pursued, now, wakes)
    return Plan(actions=(*stops, *starts), reasons=reasons, wake_at=min(wakes, default=None))


def replica_id(slot: SlotKey, attempt: int, epoch: str) -> str:
    """`<uid>-<ordinal>-<digest>`: the same for the same attempt, else different."""
    text = f"{epoch}\0{slot.uid}\0{slot.generation}\0{slot.ordinal}\0{attempt}"
    digest = hashlib.blake2s(text.encode(), digest_size=4).hexdigest()
    return f"{slot.uid}-{slot.ordinal}-{digest}"


def queue_share(deployment: Deployment, ordinal: int) -> int:
    """This replica's part of the waiting places; the remainder goes to the lowest ordinals."""
    share, remainder = divmod(deployment.max_queue, deployment.replicas)
    return share + (ordinal < remainder)


def has_given_up(history: SlotHistory, policy: PlanPolicy) -> bool:
    """Whether the slot stays empty: it failed too often, or in a way that repeats."""
    if not history.failures:
        return False
    permanent = history.failures[-1].failure.kind in _PERMANENT
    return permanent or _recent(history, policy) >= policy.limit


def restart_at(history: SlotHistory, policy: PlanPolicy) -> float:
    """When the slot's next replica may start (monotonic)."""
    if not history.failures:
        return -math.inf
    doublings = min(_recent(history, policy) - 1, 30)
    return history.failures[-1].at + min(policy.backoff_max, policy.backoff * 2.0**doublings)


def _recent(history: SlotHistory, policy: PlanPolicy) -> int:
    """Failures within the window that ends with the last one: time alone changes nothing."""
    since = history.failures[-1].at - policy.window
    return sum(1 for each in history.failures if each.at >= since)


def _plan_stops(
    desired: Mapping[str, Deployment],
    observed: Observed,
    pursued: Set[SlotKey],
    now: float,
    wakes: list[float],
) -> list[Stop]:
    """Adds to `wakes` when to tell again who could not be told."""
    stops: list[Stop] = []
    kept = _kept(desired, observed, pursued)
    for replica in observed.replicas:
        if replica.replica_id in kept or replica.state is DeploymentState.DRAINING:
            continue
        again = observed.stops.get(replica.replica_id, -math.inf)
        if again > now:
            if again < math.inf:
                wakes.append(again)
            continue
        reason = _unwanted(desired, replica.slot) or "another replica has its place"
        if replica.worker_id in observed.leaving:
            reason = "its worker is leaving"
        stops.append(
            Stop(replica_id=replica.replica_id, worker_id=replica.worker_id, reason=reason)
        )
    return stops


def _kept(desired: Mapping[str, Deployment], observed: Observed, pursued: Set[SlotKey]) -> set[str]:
    """Ids of the replicas that stay: of each slot the one that has come furthest, and on a worker
    that is leaving those whose successors are yet to serve."""
    best: dict[SlotKey, ObservedReplica] = {}
    kept: set[str] = set()
    for replica in observed.replicas:
        if replica.replica_id in observed.stops or _unwanted(desired, replica.slot):
            continue
        if replica.worker_id in observed.leaving:
            if replica.slot in pursued:
                kept.add(replica.replica_id)
            continue
        rival = best.get(replica.slot)
        if rival is None or _rank(replica) > _rank(rival):
            best[replica.slot] = replica
    return kept | {each.replica_id for each in best.values()}


def _rank(replica: ObservedReplica) -> tuple[int, int, str]:
    # Of two that serve, the later one was started because the earlier one was taken for lost.
    return BY_PROGRESS.index(replica.state), replica.starts, replica.replica_id


def _unwanted(desired: Mapping[str, Deployment], slot: SlotKey) -> str | None:
    deployment = desired.get(slot.uid)
    if deployment is None:
        return "its model was terminated"
    if slot.generation != deployment.generation:
        return "its model was launched anew"
    if slot.ordinal >= deployment.replicas:
        return "its model has fewer replicas now"
    return None


class _Placement:
    """Counts replicas by worker while the plan adds to them."""

    def __init__(self, observed: Observed) -> None:
        self._workers = sorted(observed.workers)
        self._all: dict[str, int] = defaultdict(int)
        self._of_uid: dict[tuple[str, str], int] = defaultdict(int)
        for replica in observed.replicas:
            self._add(replica.worker_id, replica.slot.uid)

    def choose(self, uid: str) -> str | None:
        """The worker with the fewest replicas of this model, then of any; None without workers."""
        if not self._workers:
            return None
        chosen = min(
            self._workers, key=lambda worker: (self._of_uid[worker, uid], self._all[worker])
        )
        self._add(chosen, uid)
        return chosen

    def _add(self, worker_id: str, uid: str) -> None:
        self._all[worker_id] += 1
        self._of_uid[worker_id, uid] += 1


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
