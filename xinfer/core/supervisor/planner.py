"""The plan: from what is desired and what is observed to what to do next.

Pure: no input or output, no clock, no randomness. What is being done counts as done, so planning
again after applying a plan yields nothing.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from xinfer.core.supervisor.keeping import find_unwanted, why_unwanted
from xinfer.core.supervisor.observed import Observed, ObservedReplica, SlotHistory, SlotKey
from xinfer.core.supervisor.placement import Placed, Placement, PlacementPolicy, Refusal, need_of
from xinfer.settings import Settings
from xinfer.types.deployment import Deployment, DeploymentState
from xinfer.types.device import DeviceShare

_PERMANENT = frozenset({"InvalidRequest", "NotFound", "Forbidden"})
"""Failures that lie in what was asked for: trying again would fail again."""
_PERMANENT_CODES = frozenset({"corrupt_file"})
"""Those of other kinds that would, too."""

_LAUNCHING = (DeploymentState.PENDING, DeploymentState.DOWNLOADING, DeploymentState.LOADING)
"""States of a replica that is on its way to serve."""

_TELLABLE = (DeploymentState.LOADING, DeploymentState.READY)
"""States of a replica whose worker has it and does not end it."""


class PlanPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of the plan. `epoch` keeps replica ids apart between supervisor processes."""

    epoch: str
    backoff: float
    backoff_max: float
    limit: int
    window: float
    launches: int = 5
    """Replicas that may load on one worker at the same time."""
    placement: PlacementPolicy = PlacementPolicy()

    @classmethod
    def of(cls, settings: Settings, epoch: str) -> PlanPolicy:
        return cls(
            epoch=epoch,
            backoff=settings.restart_backoff,
            backoff_max=settings.restart_backoff_max,
            limit=settings.restart_limit,
            window=settings.restart_window,
            launches=settings.max_concurrent_launches,
            placement=PlacementPolicy.of(settings),
        )


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Run a replica on this worker. The id derives from slot and attempt: twice is once."""

    replica_id: str
    slot: SlotKey
    worker_id: str
    devices: tuple[DeviceShare, ...]
    max_queue: int
    request_limit: int | None = None
    restarts: int
    reason: str
    """Why there."""


class Stop(msgspec.Struct, frozen=True, kw_only=True):
    """End a replica that is not wanted, and why."""

    replica_id: str
    worker_id: str
    reason: str


class Requeue(msgspec.Struct, frozen=True, kw_only=True):
    """Give a replica its shares of waiting places and of the limit, now that they are others."""

    replica_id: str
    worker_id: str
    max_queue: int
    request_limit: int | None = None


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
    the waiting places and of the limit on requests.

    Deployments come in turn, those of a larger priority first and then the older ones. What may
    not start yet keeps its room from those that come later.
    """
    starts: list[Start] = []
    while True:
        look = _Look(desired, observed, starts, now, policy)
        starts += look.starts
        # Room that was kept is found elsewhere once others have started; that may help a third.
        if not (look.starts and look.keeps_room):
            break
    unwanted = find_unwanted(desired, observed, look.pursued)
    stops = [
        Stop(replica_id=replica.replica_id, worker_id=replica.worker_id, reason=reason)
        for replica, reason in unwanted
        if observed.stops.get(replica.replica_id, -math.inf) <= now
    ]
    told = (observed.stops.get(replica.replica_id, math.inf) for replica, _ in unwanted)
    wakes = [*look.wakes, *(again for again in told if now < again < math.inf)]
    return Plan(
        actions=(*stops, *_requeues(desired, observed), *starts),
        reasons=look.reasons,
        refusals=look.refusals,
        wake_at=min(wakes, default=None),
    )


class _Look:
    """One look at all slots: which start, and why the others do not.

    Args:
        started: what is to start beside what is observed.
    """

    def __init__(
        self,
        desired: Mapping[str, Deployment],
        observed: Observed,
        started: Sequence[Start],
        now: float,
        policy: PlanPolicy,
    ) -> None:
        self._observed = observed
        self._now = now
        self._policy = policy
        self._replicas = (*observed.replicas, *map(_under_way, started))
        self._placement: Placement | None = None
        self._launching = Counter(
            each.worker_id for each in self._replicas if each.state in _LAUNCHING
        )
        """Replicas on their way to serve, by the id of their worker."""
        self.starts: list[Start] = []
        self.reasons: dict[SlotKey, str] = {}
        self.refusals: dict[SlotKey, Refusal] = {}
        self.pursued: set[SlotKey] = set()
        """Slots that are to have a replica soon."""
        self.wakes: list[float] = []
        self.keeps_room = False
        """Whether a slot that does not start yet was given room."""
        occupants = {
            (each.slot.uid, each.slot.ordinal): each
            for each in self._replicas
            if each.worker_id not in observed.leaving
        }
        for deployment in sorted(desired.values(), key=_turn):
            for ordinal in deployment.ordinals:
                slot = SlotKey(deployment.uid, deployment.generation, ordinal)
                occupant = occupants.get((slot.uid, ordinal))
                if occupant is None:
                    self._fill(deployment, slot)
                    continue
                if occupant.state is not DeploymentState.READY:
                    self.pursued.add(slot)
                if occupant.slot != slot:
                    self.reasons[slot] = "Waiting for the replica of an earlier launch to leave."

    def _fill(self, deployment: Deployment, slot: SlotKey) -> None:
        """A slot has no replica."""
        history = self._observed.histories.get(slot, SlotHistory())
        if has_given_up(history, self._policy):
            self.reasons[slot] = "Failed; not started again."
            return
        due = restart_at(history, self._policy)
        if due > self._now:
            count = len(history.failures)
            wait = due - history.failures[-1].at
            self.reasons[slot] = f"Failed {_times(count)}; starting again after {wait:g} s."
            self.wakes.append(due)
            self.pursued.add(slot)
        if not self._observed.workers:
            waiting = "Waiting for a worker: none is connected that takes models."
            self.reasons.setdefault(slot, waiting)
            return
        chosen = self._choose(deployment, slot, history)
        if isinstance(chosen, Refusal):
            if due <= self._now:
                self.refusals[slot] = chosen
                self.reasons[slot] = chosen.message
            return
        self.pursued.add(slot)
        loading = self._launching[chosen.worker_id]
        if due > self._now:
            self.keeps_room = True
        elif loading >= self._policy.launches:
            self.keeps_room = True
            self.reasons[slot] = (
                f"Waiting for its turn: {_count(loading, 'replica')} of this and other models "
                f"load on worker {chosen.address} (XINFERENCE_MAX_CONCURRENT_LAUNCHES)."
            )
        else:
            self._launching[chosen.worker_id] += 1
            self.starts.append(
                Start(
                    replica_id=replica_id(slot, history.starts, self._policy.epoch),
                    slot=slot,
                    worker_id=chosen.worker_id,
                    devices=chosen.devices,
                    max_queue=queue_share(deployment, slot.ordinal),
                    request_limit=limit_share(deployment, slot.ordinal),
                    restarts=history.starts,
                    reason=chosen.reason,
                )
            )

    def _choose(
        self, deployment: Deployment, slot: SlotKey, history: SlotHistory
    ) -> Placed | Refusal:
        if self._placement is None:
            workers = self._observed.workers
            self._placement = Placement(workers, self._replicas, self._policy.placement)
        next_id = replica_id(slot, history.starts, self._policy.epoch)
        return self._placement.choose(need_of(deployment, slot.ordinal), slot, next_id)


def _under_way(start: Start) -> ObservedReplica:
    return ObservedReplica(
        start.replica_id,
        start.slot,
        start.worker_id,
        DeploymentState.PENDING,
        start.devices,
        max_queue=start.max_queue,
        request_limit=start.request_limit,
        starts=start.restarts + 1,
    )


def _requeues(desired: Mapping[str, Deployment], observed: Observed) -> Iterator[Requeue]:
    """For the replicas whose share of the waiting places or of the limit is another now."""
    for replica in observed.replicas:
        deployment = desired.get(replica.slot.uid)
        if (
            deployment is None
            or replica.state not in _TELLABLE
            or replica.worker_id in observed.leaving
            or why_unwanted(desired, replica.slot) is not None
        ):
            continue
        places = queue_share(deployment, replica.slot.ordinal)
        limit = limit_share(deployment, replica.slot.ordinal)
        if (replica.max_queue, replica.request_limit) != (places, limit):
            yield Requeue(
                replica_id=replica.replica_id,
                worker_id=replica.worker_id,
                max_queue=places,
                request_limit=limit,
            )


def _turn(deployment: Deployment) -> tuple[int, int, str]:
    return -deployment.spec.priority, deployment.created, deployment.uid


def replica_id(slot: SlotKey, attempt: int, epoch: str) -> str:
    """`<uid>-<ordinal>-<digest>`: the same for the same attempt, else different."""
    text = f"{epoch}\0{slot.uid}\0{slot.generation}\0{slot.ordinal}\0{attempt}"
    digest = hashlib.blake2s(text.encode(), digest_size=4).hexdigest()
    return f"{slot.uid}-{slot.ordinal}-{digest}"


def queue_share(deployment: Deployment, ordinal: int) -> int:
    """This replica's part of the waiting places; the remainder goes to the lowest ordinals."""
    return _share(deployment, ordinal, deployment.max_queue)


def limit_share(deployment: Deployment, ordinal: int) -> int | None:
    """This replica's part of the limit on requests, None where there is no limit. Without a part
    in it, a replica takes no request."""
    limit = deployment.request_limits
    return None if limit is None else _share(deployment, ordinal, limit)


def _share(deployment: Deployment, ordinal: int, total: int) -> int:
    share, remainder = divmod(total, deployment.replicas)
    before = ordinal
    if deployment.removed:
        before -= sum(1 for removed in deployment.removed if removed < ordinal)
    return share + (before < remainder)


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


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
