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
        (logging.INFO, "Model m is READY", "m")
    ]
    assert describe_changes(snapshot(status(READY)), snapshot(status(READY))) == []
    assert describe_changes(snapshot(status(READY)), snapshot()) == [
        (logging.INFO, "Model m is TERMINATED", "m")
    ]


def test_what_went_wrong_is_said() -> None:
    for state, level in ((RESTARTING, logging.WARNING), (ERROR, logging.ERROR)):
        new = snapshot(status(state, failure=CRASH))
        assert describe_changes(snapshot(status(READY)), new) == [
            (level, f"Model m is {state.value}: It was killed by signal 9.", "m")
        ]


def test_what_a_model_waits_for_is_said() -> None:
    waiting = ReplicaStatus(
        replica_id="r", ordinal=0, state=PENDING, progress=Progress(0.0, "launching", "No worker.")
    )
    assert describe_changes(snapshot(), snapshot(status(PENDING, replicas=(waiting,)))) == [
        (logging.INFO, "Model m is PENDING: No worker.", "m")
    ]
    assert describe_changes(snapshot(), snapshot(status(PENDING))) == [
        (logging.INFO, "Model m is PENDING", "m")
    ]


def test_a_replica_that_is_started_again_is_said() -> None:
    def replicas(*restarts: int) -> tuple[ReplicaStatus, ...]:
        return tuple(
            ReplicaStatus(replica_id=f"r-{n}", ordinal=n, state=READY, restarts=count)
            for n, count in enumerate(restarts)
        )

    old = snapshot(status(READY, replicas=replicas(0, 1)))
    assert describe_changes(old, snapshot(status(READY, replicas=replicas(0, 2, 3)))) == [
        (logging.INFO, "Replica 1 of model m is started again, restart 2", "m")
    ]
    anew = status(READY, deployment=deployment(generation=2), replicas=replicas(5, 5))
    assert describe_changes(old, snapshot(anew)) == []
