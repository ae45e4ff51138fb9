"""The plan: from what is desired and what is observed to what to do next.

Pure: no input or output, no clock, no randomness. What is being done counts as done, so planning
again after applying a plan yields nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Set

import msgspec

from xinfer.core.supervisor.observed import Observed, ObservedReplica, SlotHistory, SlotKey
from xinfer.core.supervisor.placement import Placement, PlacementPolicy, Refusal, need_of
from xinfer.settings import Settings
from xinfer.types.deployment import Deployment, DeploymentState
from xinfer.types.device import DeviceShare

_PERMANENT = frozenset({"InvalidRequest", "NotFound", "Forbidden"})
"""Failures that lie in what was asked for: trying again would fail again."""
_PERMANENT_CODES = frozenset({"corrupt_file"})
"""Those of other kinds that would, too."""

_TELLABLE = (DeploymentState.LOADING, DeploymentState.READY)
"""States of a replica whose worker has it and does not end it."""

BY_PROGRESS = (
    DeploymentState.DRAINING,
    DeploymentState.PENDING,
    DeploymentState.LOADING,
    DeploymentState.READY,
)
"""States of a replica that lives, those that serve soonest last."""


class PlanPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the plan. `epoch` keeps replica ids apart between supervisor processes."""

    epoch: str
    backoff: float
    backoff_max: float
    limit: int
    window: float
    placement: PlacementPolicy = PlacementPolicy()

    @classmethod
    def of(cls, settings: Settings, epoch: str) -> PlanPolicy:
        return cls(
            epoch=epoch,
            backoff=settings.restart_backoff,
            backoff_max=settings.restart_backoff_max,
            limit=settings.restart_limit,
            window=settings.restart_window,
            placement=PlacementPolicy.of(settings),
        )


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Run a replica on this worker. The id derives from slot and attempt: twice is once."""

    replica_id: str
    slot: SlotKey
    worker_id: str
    devices: tuple[DeviceShare, ...]
    max_queue: int
    restarts: int
    reason: str
    """Why there."""


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """End a replica that is not wanted, and why."""

    replica_id: str
    worker_id: str
    reason: str


class Requeue(msgspec.Struct, frozen=True, kw_only=True):
    """Give a replica its share of the waiting places, now that it is another."""

    replica_id: str
    worker_id: str
    max_queue: int


Action = Start | Stop | Requeue


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to do now, why the rest waits, and when to plan again at the latest (monotonic)."""

    actions: tuple[Action, ...]
    reasons: Mapping[SlotKey, str]
    refusals: Mapping[SlotKey, Refusal] = {}
    """Of the slots that wait for room."""
    wake_at: float | None


def plan(
    desired: Mapping[str, Deployment], observed: Observed, now: float, policy: PlanPolicy
) -> Plan:
    """Decide. Starts what is missing where there is room for it, restarts what failed after a
    growing wait until it gives up, stops what nobody wants, and tells each replica its share of
    the waiting places."""
    occupants = {
        (each.slot.uid, each.slot.ordinal): each
        for each in observed.replicas
        if each.worker_id not in observed.leaving
    }
    placement: Placement | None = None
    actions: list[Action] = []
    wakes: list[float] = []
    reasons: dict[SlotKey, str] = {}
    refusals: dict[SlotKey, Refusal] = {}
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
                elif occupant.state in _TELLABLE:
                    share = queue_share(deployment, ordinal)
                    if occupant.max_queue != share:
                        actions.append(_requeue(occupant, share))
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
            if not observed.workers:
                reasons[slot] = "Waiting for a worker: none is connected that takes models."
                continue
            if placement is None:
                placement = Placement(observed.workers, observed.replicas, policy.placement)
            next_id = replica_id(slot, history.starts, policy.epoch)
            chosen = placement.choose(need_of(deployment, ordinal), slot, next_id)
            if isinstance(chosen, Refusal):
                refusals[slot] = chosen
                reasons[slot] = chosen.message
                continue
            pursued.add(slot)
            actions.append(
                Start(
                    replica_id=next_id,
                    slot=slot,
                    worker_id=chosen.worker_id,
                    devices=chosen.devices,
                    max_queue=queue_share(deployment, ordinal),
                    restarts=history.starts,
                    reason=chosen.reason,
                )
            )
    stops = _plan_stops(desired, observed, pursued, now, wakes)
    return Plan(
        actions=(*stops, *actions),
        reasons=reasons,
        refusals=refusals,
        wake_at=min(wakes, default=None),
    )


def _requeue(replica: ObservedReplica, max_queue: int) -> Requeue:
    return Requeue(replica_id=replica.replica_id, worker_id=replica.worker_id, max_queue=max_queue)


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
    last = history.failures[-1].failure
    permanent = last.kind in _PERMANENT or last.code in _PERMANENT_CODES
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
    unwanted: list[ObservedReplica] = []
    kept = kept_replicas(desired, observed, pursued)
    for replica in observed.replicas:
        if replica.replica_id in kept or replica.state is DeploymentState.DRAINING:
            continue
        again = observed.stops.get(replica.replica_id, -math.inf)
        if again <= now:
            unwanted.append(replica)
        elif again < math.inf:
            wakes.append(again)
    # Of a model that gets fewer replicas, the last go first.
    unwanted.sort(key=lambda each: -each.slot.ordinal)
    return [
        Stop(
            replica_id=replica.replica_id,
            worker_id=replica.worker_id,
            reason="its worker is leaving"
            if replica.worker_id in observed.leaving
            else _unwanted(desired, replica.slot) or "another replica has its place",
        )
        for replica in unwanted
    ]


def kept_replicas(
    desired: Mapping[str, Deployment], observed: Observed, pursued: Set[SlotKey] = frozenset()
) -> set[str]:
    """Ids of the replicas that stay: of each slot the one that has come furthest, and on a worker
    that is leaving those whose successors are yet to serve.

    Args:
        pursued: slots that are to have a replica soon.
    """
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


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
