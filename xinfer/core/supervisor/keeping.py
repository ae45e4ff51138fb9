"""Which of the replicas that live stay, and which are to stop, and why. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Set

from xinfer.core.supervisor.observed import Observed, ObservedReplica, SlotKey
from xinfer.types.deployment import Deployment, DeploymentState

BY_PROGRESS = (
    DeploymentState.DRAINING,
    DeploymentState.PENDING,
    DeploymentState.DOWNLOADING,
    DeploymentState.LOADING,
    DeploymentState.READY,
)
"""States of a replica that lives, those that serve soonest last."""


def find_unwanted(
    desired: Mapping[str, Deployment], observed: Observed, pursued: Set[SlotKey]
) -> list[tuple[ObservedReplica, str]]:
    """The replicas that are to stop, told so or not, each with the reason.

    Args:
        pursued: slots that are to have a replica soon.
    """
    kept = kept_replicas(desired, observed, pursued)
    unwanted = [
        replica
        for replica in observed.replicas
        if replica.replica_id not in kept and replica.state is not DeploymentState.DRAINING
    ]
    # Of a model that gets fewer replicas, the last go first.
    unwanted.sort(key=lambda each: -each.slot.ordinal)
    return [
        (
            replica,
            "its worker is leaving"
            if replica.worker_id in observed.leaving
            else why_unwanted(desired, replica.slot) or "another replica has its place",
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
        if replica.replica_id in observed.stops or why_unwanted(desired, replica.slot):
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


def why_unwanted(desired: Mapping[str, Deployment], slot: SlotKey) -> str | None:
    """None for a slot that is to have a replica."""
    deployment = desired.get(slot.uid)
    if deployment is None:
        return "its model was terminated"
    if slot.generation != deployment.generation:
        return "its model was launched anew"
    if not deployment.has(slot.ordinal):
        return "its model has fewer replicas now"
    return None
