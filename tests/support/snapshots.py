"""What the supervisor would push: snapshots of deployments and their replicas."""

from __future__ import annotations

from typing import Any

from tests.support.replicas import TOKEN
from xinfer.types.deployment import (
    Deployment,
    DeploymentState,
    DeploymentStatus,
    LaunchSpec,
    ReplicaStatus,
    Snapshot,
)
from xinfer.types.model import ModelSpec


def replica_status(
    replica_id: str, address: str = "", state: DeploymentState = DeploymentState.READY, **more: Any
) -> ReplicaStatus:
    return ReplicaStatus(replica_id=replica_id, ordinal=0, state=state, address=address, **more)


def deployment_status(
    uid: str,
    *replicas: ReplicaStatus,
    state: DeploymentState = DeploymentState.READY,
    **more: Any,
) -> DeploymentStatus:
    deployment = Deployment(
        uid=uid,
        generation=1,
        created=0,
        spec=LaunchSpec(model_name=uid),
        model=ModelSpec(name=uid),
        engine="echo",
        options={},
        replicas=len(replicas),
        max_queue=4,
    )
    return DeploymentStatus(deployment=deployment, state=state, replicas=replicas, **more)


def snapshot(*deployments: DeploymentStatus, version: int = 1) -> Snapshot:
    return Snapshot(
        epoch="e",
        version=version,
        deployments={status.deployment.uid: status for status in deployments},
        link_token=TOKEN,
        started=0.0,
    )
