"""What the supervisor knows: the desired state, the workers' reports, what is under way."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from xinfer.core.supervisor.observed import (
    FailedStart,
    Observed,
    ObservedReplica,
    SlotHistory,
    SlotKey,
)
from xinfer.core.supervisor.planner import PlanPolicy, has_given_up
from xinfer.core.supervisor.presence import Presence
from xinfer.core.supervisor.silence import LossPolicy
from xinfer.core.supervisor.status import (
    LiveReplica,
    SlotRecord,
    desired_status,
    leaving_status,
)
from xinfer.types.cluster import Assignment, ReplicaReport, WorkerReport
from xinfer.types.deployment import Deployment, DeploymentState, DeploymentStatus, Snapshot
from xinfer.types.failure import Failure

logger = logging.getLogger(__name__)

_ENDED = (DeploymentState.ERROR, DeploymentState.TERMINATED)


@dataclass(frozen=True)
class _Starting:
    assignment: Assignment
    worker_id: str


def _living(report: WorkerReport) -> set[str]:
    return {each.assignment.replica_id for each in report.replicas if each.state not in _ENDED}


def _queue_of(assignment: Assignment) -> tuple[int, int | None]:
    return assignment.max_queue, assignment.request_limit


class LogTarget(NamedTuple):
    """One replica's output: which, and the actor address of the worker that keeps it."""

    ordinal: int
    replica_id: str
    worker: str


class ClusterState:
    """Changed by events only, and only on the event loop. Every `now` is monotonic seconds.

    Args:
        started: Unix seconds at which the supervisor started.
        loss: when a silent worker is lost.
    """

    def __init__(
        self, *, policy: PlanPolicy, link_token: bytes, started: float, loss: LossPolicy
    ) -> None:
        self.policy = policy
        self.link_token = link_token
        self.draining = False
        self.desired: dict[str, Deployment] = {}
        self._started = started
        self.workers = Presence(loss)
        self._starting: dict[str, _Starting] = {}
        self._stops: dict[str, float] = {}
        self._queues: dict[str, tuple[int, int | None]] = {}
        """Waiting places and limits that replicas are being told, by id."""
        self._records: dict[SlotKey, SlotRecord] = {}
        self._reasons: Mapping[SlotKey, str] = {}
        self._snapshot = self._make_snapshot(0)

    # The desired state

    def put(self, deployment: Deployment) -> None:
        """Want this deployment, in place of an earlier one of its uid."""
        self.desired[deployment.uid] = deployment
        self._forget_slots()

    def remove(self, uid: str) -> None:
        """Want it no more."""
        self.desired.pop(uid, None)
        self._forget_slots()

    def _forget_slots(self) -> None:
        for slot in [each for each in self._records if not self._is_current(each)]:
            del self._records[slot]
        for slot, record in self._records.items():
            if not self._is_wanted(slot):
                # Should it be wanted again, it begins anew, but for the ids of its replicas.
                self._records[slot] = SlotRecord(SlotHistory(starts=record.history.starts))

    def _is_current(self, slot: SlotKey) -> bool:
        deployment = self.desired.get(slot.uid)
        return deployment is not None and deployment.generation == slot.generation

    def _is_wanted(self, slot: SlotKey) -> bool:
        return self._is_current(slot) and self.desired[slot.uid].has(slot.ordinal)

    # Workers

    def apply(self, report: WorkerReport, now: float) -> tuple[str, ...]:
        """Take in a report; one older than what is known is dropped.

        Returns:
            The ids of ended replicas that the worker may forget.
        """
        known = self.workers.find(report.worker_id)
        if known is None:
            for other in self.workers.at(report.address):
                self.lose(other)
            known = self.workers.join(report, now)
        elif report.sequence <= known.report.sequence:
            return ()
        before, known.report = known.report, report
        self.workers.hear(known, now)
        ended = {each.assignment.replica_id for each in report.replicas if each.state in _ENDED}
        for replica in report.replicas:
            if replica.assignment.replica_id in known.ended:
                continue
            self._starting.pop(replica.assignment.replica_id, None)
            self._note(LiveReplica(replica, report.worker_id, report.address))
            if replica.state in _ENDED:
                self._note_end(replica, now)
        known.ended = ended
        if report.leaving and len(ended) == len(report.replicas):
            self.lose(report.worker_id)
        self._forget_calls((_living(before) | ended) - _living(report))
        return tuple(sorted(ended))

    def _note(self, replica: LiveReplica) -> None:
        if not self._is_current(replica.slot):
            return
        assignment = replica.report.assignment
        record = self._record(replica.slot)
        if assignment.restarts + 1 >= record.history.starts:
            record.replica_id, record.worker = assignment.replica_id, replica.worker
            record.history = msgspec.structs.replace(record.history, starts=assignment.restarts + 1)
        if self._queues.get(assignment.replica_id) == _queue_of(assignment):
            del self._queues[assignment.replica_id]
        if replica.report.state is DeploymentState.READY:
            record.loaded = replica.report.loaded

    def _note_end(self, report: ReplicaReport, now: float) -> None:
        assignment = report.assignment
        slot = SlotKey(
            assignment.deployment.uid, assignment.deployment.generation, assignment.ordinal
        )
        asked = self._stops.pop(assignment.replica_id, None) is not None
        if report.state is DeploymentState.ERROR and not asked and not self.draining:
            failure = report.failure or Failure(
                "ReplicaLost", "The replica ended without a reason.", "replica_lost"
            )
            self._note_failure(slot, failure, now)

    def _note_failure(self, slot: SlotKey, failure: Failure, now: float) -> None:
        if not self._is_wanted(slot):
            return
        logger.warning("Replica %d of model %s failed: %s", slot.ordinal, slot.uid, failure.message)
        record = self._record(slot)
        failures = (*record.history.failures, FailedStart(now, failure))
        kept = failures[-max(1, self.policy.limit) :]
        record.history = msgspec.structs.replace(record.history, failures=kept)

    def _record(self, slot: SlotKey) -> SlotRecord:
        return self._records.setdefault(slot, SlotRecord())

    def lose(self, worker_id: str) -> None:
        """The worker is gone, and with it its replicas."""
        worker = self.workers.remove(worker_id)
        gone = {each for each, start in self._starting.items() if start.worker_id == worker_id}
        for replica_id in gone:
            del self._starting[replica_id]
        self._forget_calls(gone | (_living(worker.report) if worker else set()))

    def expire(self, now: float) -> list[str]:
        """Lose the workers that have been silent for too long; returns their addresses."""
        lost = self.workers.expire(now)
        addresses = [self.workers.address(worker_id) for worker_id in lost]
        for worker_id in lost:
            self.lose(worker_id)
        return addresses

    # What is under way

    def begin_start(self, assignment: Assignment, worker_id: str) -> None:
        """A start is under way, until the worker reports the replica or `start_failed`."""
        start = _Starting(assignment, worker_id)
        self._starting[assignment.replica_id] = start
        replica = self._pending(start)
        record = self._record(replica.slot)
        record.replica_id, record.worker = assignment.replica_id, replica.worker
        record.history = msgspec.structs.replace(record.history, starts=record.history.starts + 1)

    def start_failed(self, replica_id: str, failure: Failure | None, now: float) -> None:
        """The replica was not started; without a `failure` the slot is not to blame.

        Nothing happens once its worker has reported it.
        """
        start = self._starting.pop(replica_id, None)
        if start is not None:
            self._forget_calls({replica_id})
        if start is not None and failure is not None:
            self._note_failure(self._pending(start).slot, failure, now)

    def begin_stop(self, replica_id: str) -> None:
        self._stops[replica_id] = math.inf

    def stop_failed(self, replica_id: str, retry_at: float) -> None:
        """Its worker could not be told; it is told again at `retry_at`."""
        if replica_id in self._stops:
            self._stops[replica_id] = retry_at

    def begin_requeue(
        self, replica_id: str, max_queue: int, request_limit: int | None = None
    ) -> None:
        self._queues[replica_id] = max_queue, request_limit

    def requeue_failed(self, replica_id: str) -> None:
        """Its worker could not be told; it is told again when the plan is made next."""
        self._queues.pop(replica_id, None)

    def _forget_calls(self, gone: Iterable[str]) -> None:
        """Of replicas that live no more. Looked for among these alone: with every report among all
        that live would be too much in a large cluster."""
        for replica_id in gone:
            if replica_id not in self._starting:
                self._stops.pop(replica_id, None)
                self._queues.pop(replica_id, None)

    # Views

    def live(self) -> Iterator[LiveReplica]:
        """Every replica that lives or is being started."""
        for worker in self.workers:
            for replica in worker.report.replicas:
                if replica.state not in _ENDED:
                    yield LiveReplica(replica, worker.report.worker_id, worker.report.address)
        for start in self._starting.values():
            yield self._pending(start)

    def _pending(self, start: _Starting) -> LiveReplica:
        report = ReplicaReport(assignment=start.assignment, state=DeploymentState.PENDING)
        return LiveReplica(report, start.worker_id, self.workers.address(start.worker_id))

    def observed(self, now: float) -> Observed:
        """The planner's view."""
        return Observed(
            workers=self.workers.observed(now),
            leaving=self.workers.leaving(),
            replicas=tuple(map(self._observe, self.live())),
            histories={slot: record.history for slot, record in self._records.items()},
            stops=dict(self._stops),
        )

    def _observe(self, replica: LiveReplica) -> ObservedReplica:
        assignment = replica.report.assignment
        max_queue, limit = self._queues.get(assignment.replica_id) or _queue_of(assignment)
        return ObservedReplica(
            assignment.replica_id,
            replica.slot,
            replica.worker_id,
            replica.report.state,
            starts=assignment.restarts + 1,
            devices=assignment.devices,
            model_type=assignment.deployment.model.type,
            max_queue=max_queue,
            request_limit=limit,
        )

    def explain(self, reasons: Mapping[SlotKey, str]) -> None:
        """Why slots are empty, by the last plan; shown as their progress."""
        self._reasons = reasons

    def statuses(self) -> dict[str, DeploymentStatus]:
        """Every deployment that is wanted or still has replicas."""
        live: dict[str, list[LiveReplica]] = defaultdict(list)
        for replica in self.live():
            live[replica.slot.uid].append(replica)
        statuses: dict[str, DeploymentStatus] = {}
        for uid, replicas in live.items():
            if uid not in self.desired or self.draining:
                newest = max(replicas, key=lambda each: each.slot.generation)
                deployment = self.desired.get(uid, newest.report.assignment.deployment)
                statuses[uid] = leaving_status(deployment, replicas)
        for uid, deployment in self.desired.items():
            if uid not in statuses:
                statuses[uid] = desired_status(
                    deployment, live.get(uid, ()), self._records, self._reasons, self.policy
                )
        return statuses

    def snapshot(self) -> Snapshot:
        """All that API processes know; the version grows when anything in it changes."""
        latest = self._make_snapshot(self._snapshot.version)
        if latest != self._snapshot:
            self._snapshot = msgspec.structs.replace(latest, version=latest.version + 1)
        return self._snapshot

    def _make_snapshot(self, version: int) -> Snapshot:
        return Snapshot(
            epoch=self.policy.epoch,
            version=version,
            deployments=self.statuses(),
            link_token=self.link_token,
            started=self._started,
            draining=self.draining,
            workers=len(self.workers),
        )

    def log_targets(self, uid: str) -> list[LogTarget]:
        """Where the output of each ordinal's newest replica is kept; empty if there are none."""
        if uid not in self.desired:
            return sorted(
                LogTarget(each.slot.ordinal, each.report.assignment.replica_id, each.worker)
                for each in self.live()
                if each.slot.uid == uid
            )
        return sorted(
            LogTarget(slot.ordinal, record.replica_id, record.worker)
            for slot, record in self._records.items()
            if slot.uid == uid and record.replica_id
        )

    def is_launching(self, uid: str) -> bool:
        """Whether a replica of this wanted deployment is yet to be READY for the first time."""
        deployment = self.desired[uid]
        slots = (SlotKey(uid, deployment.generation, n) for n in deployment.ordinals)
        records = [self._records.get(slot, SlotRecord()) for slot in slots]
        return any(
            record.loaded is None and not has_given_up(record.history, self.policy)
            for record in records
        )

    def is_complete(self) -> bool:
        """Whether every replica that is wanted lives, by the word of some worker."""
        living = {replica.slot for replica in self.live()}
        return bool(self.workers) and all(
            SlotKey(deployment.uid, deployment.generation, ordinal) in living
            for deployment in self.desired.values()
            for ordinal in deployment.ordinals
        )

    def has_failed(self, uid: str) -> bool:
        """Whether this wanted deployment is in ERROR."""
        return self.statuses()[uid].state is DeploymentState.ERROR
