"""What the log says of changes."""

from __future__ import annotations

import logging

from tests.unit.core.supervisor.support import (
    CRASH,
    ERROR,
    PENDING,
    READY,
    RESTARTING,
    deployment,
)
from xinfer.core.supervisor.changes import describe_changes
from xinfer.types.deployment import DeploymentStatus, ReplicaStatus, Snapshot
from xinfer.types.model import Progress


def snapshot(*statuses: DeploymentStatus) -> Snapshot:
    deployments = {each.deployment.uid: each for each in statuses}
    return Snapshot(epoch="e", version=1, deployments=deployments, link_token=b"", started=0.0)


def status(state: object, **fields: object) -> DeploymentStatus:
    made: dict[str, object] = {"deployment": deployment(), "state": state, "replicas": ()}
    return DeploymentStatus(**{**made, **fields})  # type: ignore[arg-type]


def test_each_change_of_state_is_one_line() -> None:
    assert describe_changes(snapshot(), snapshot(status(READY))) == [
        (logging.INFO, "Model m is READY")
    ]
    assert describe_changes(snapshot(status(READY)), snapshot(status(READY))) == []
    assert describe_changes(snapshot(status(READY)), snapshot()) == [
        (logging.INFO, "Model m is TERMINATED")
    ]


def test_what_went_wrong_is_said() -> None:
    for state in (RESTARTING, ERROR):
        new = snapshot(status(state, failure=CRASH))
        assert describe_changes(snapshot(status(READY)), new) == [
            (logging.WARNING, f"Model m is {state.value}: It was killed by signal 9.")
        ]


def test_what_a_model_waits_for_is_said() -> None:
    waiting = ReplicaStatus(
        replica_id="r", ordinal=0, state=PENDING, progress=Progress(0.0, "launching", "No worker.")
    )
    assert describe_changes(snapshot(), snapshot(status(PENDING, replicas=(waiting,)))) == [
        (logging.INFO, "Model m is PENDING: No worker.")
    ]
    assert describe_changes(snapshot(), snapshot(status(PENDING))) == [
        (logging.INFO, "Model m is PENDING")
    ]
