"""What users see of a deployment, made from what is known of its replicas. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from xinfer.core.supervisor.keeping import BY_PROGRESS
from xinfer.core.supervisor.observed import SlotHistory, SlotKey
from xinfer.core.supervisor.planner import PlanPolicy, has_given_up, replica_id
from xinfer.types.cluster import ReplicaReport
from xinfer.types.deployment import Deployment, DeploymentState, DeploymentStatus, ReplicaStatus
from xinfer.types.failure import Failure
from xinfer.types.model import Loaded, Progress


@dataclass
class SlotRecord:
    """What is remembered of one slot beyond the life of its replicas."""

    history: SlotHistory = field(default_factory=SlotHistory)
    replica_id: str = ""
    """Of the newest replica; empty before the first."""
    worker: str = ""
    """The newest replica's worker, by actor address."""
    loaded: Loaded | None = None
    """From the last replica that was READY; so, whether there was one."""


@dataclass(frozen=True)
class LiveReplica:
    """A replica that lives, as its worker reported it; PENDING while its start is under way."""

    report: ReplicaReport
    worker_id: str
    worker: str
    """The worker's actor address."""

    @property
    def slot(self) -> SlotKey:
        assignment = self.report.assignment
        deployment = assignment.deployment
        return SlotKey(deployment.uid, deployment.generation, assignment.ordinal)


def desired_status(
    deployment: Deployment,
    live: Sequence[LiveReplica],
    records: Mapping[SlotKey, SlotRecord],
    reasons: Mapping[SlotKey, str],
    policy: PlanPolicy,
) -> DeploymentStatus:
    """A deployment that is wanted: one replica for each ordinal, live or not.

    Args:
        live: replicas of this uid, of any generation.
    """
    furthest_last = sorted(live, key=_progress)
    by_slot = {each.slot: each for each in furthest_last}
    replicas: list[ReplicaStatus] = []
    failed: list[tuple[float, Failure]] = []
    loaded: Loaded | None = None
    for ordinal in deployment.ordinals:
        slot = SlotKey(deployment.uid, deployment.generation, ordinal)
        record = records.get(slot, SlotRecord())
        if slot in by_slot:
            replicas.append(_living(by_slot[slot], restarting=record.loaded is not None))
        else:
            replicas.append(_missing(slot, record, reasons.get(slot, ""), policy))
        failed += [(each.at, each.failure) for each in record.history.failures[-1:]]
        loaded = loaded or record.loaded
    return DeploymentStatus(
        deployment=deployment,
        state=_overall([each.state for each in replicas], was_ready=loaded is not None),
        replicas=tuple(replicas),
        failure=max(failed, key=lambda each: each[0])[1] if failed else None,
        loaded=loaded,
    )


def leaving_status(deployment: Deployment, live: Sequence[LiveReplica]) -> DeploymentStatus:
    """A deployment that is not wanted any more, until its last replica has gone."""
    draining = DeploymentState.DRAINING
    return DeploymentStatus(
        deployment=deployment,
        state=draining,
        replicas=tuple(
            msgspec.structs.replace(_living(each, restarting=False), state=draining)
            for each in live
        ),
    )


def _progress(replica: LiveReplica) -> tuple[int, int]:
    # Of two that serve, the plan keeps the later one.
    return BY_PROGRESS.index(replica.report.state), replica.report.assignment.restarts


def _living(replica: LiveReplica, *, restarting: bool) -> ReplicaStatus:
    report = replica.report
    state = report.state
    if state in (DeploymentState.PENDING, DeploymentState.LOADING) and restarting:
        state = DeploymentState.RESTARTING
    elif state is DeploymentState.LOADING and report.progress.stage == "downloading":
        state = DeploymentState.DOWNLOADING
    return ReplicaStatus(
        replica_id=report.assignment.replica_id,
        ordinal=report.assignment.ordinal,
        state=state,
        worker=replica.worker,
        devices=report.assignment.devices,
        pid=report.pid,
        address=report.address,
        restarts=report.assignment.restarts,
        created=report.assignment.created,
        progress=report.progress,
        loaded=report.loaded,
        failure=report.failure,
    )


def _missing(slot: SlotKey, record: SlotRecord, reason: str, policy: PlanPolicy) -> ReplicaStatus:
    history = record.history
    if has_given_up(history, policy):
        state = DeploymentState.ERROR
    elif record.loaded is not None:
        state = DeploymentState.RESTARTING
    else:
        state = DeploymentState.PENDING
    return ReplicaStatus(
        replica_id=record.replica_id or replica_id(slot, history.starts, policy.epoch),
        ordinal=slot.ordinal,
        state=state,
        worker=record.worker,
        restarts=max(0, history.starts - 1),
        progress=Progress(0.0, "launching", reason),
        failure=history.failures[-1].failure if history.failures else None,
    )


def _overall(states: Sequence[DeploymentState], *, was_ready: bool) -> DeploymentState:
    """READY as long as one replica serves; ERROR once none does and one was given up; DRAINING
    while all leave, as they do with their worker."""
    if DeploymentState.READY in states:
        return DeploymentState.READY
    if DeploymentState.ERROR in states:
        return DeploymentState.ERROR
    if all(state is DeploymentState.DRAINING for state in states):
        return DeploymentState.DRAINING
    if was_ready:
        return DeploymentState.RESTARTING
    for state in (DeploymentState.DOWNLOADING, DeploymentState.LOADING):
        if state in states:
            return state
    return DeploymentState.PENDING
