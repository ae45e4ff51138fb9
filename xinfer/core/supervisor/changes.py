"""What changed between two snapshots, in words for the log and the events."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import NamedTuple

from xinfer.types.deployment import DeploymentState, DeploymentStatus, Snapshot

_LEVELS = {
    DeploymentState.ERROR: logging.ERROR,
    DeploymentState.RESTARTING: logging.WARNING,
}
"""Of states that are no good news."""


class Change(NamedTuple):
    """One change; `level` is logging's."""

    level: int
    text: str
    model: str
    """Uid of the model that has changed."""


def describe_changes(old: Snapshot, new: Snapshot) -> list[Change]:
    """One for each deployment whose state is another one, or that has gone, and one for each
    replica that is started again."""
    changes: list[Change] = []
    for uid, status in new.deployments.items():
        before = old.deployments.get(uid)
        if before is not None:
            for text in _restarts(before, status):
                changes.append(Change(logging.INFO, text, uid))
        if before is None or before.state is not status.state:
            level = _LEVELS.get(status.state, logging.INFO)
            changes.append(Change(level, f"Model {uid} is {_state(status)}", uid))
    for uid in old.deployments.keys() - new.deployments.keys():
        changes.append(Change(logging.INFO, f"Model {uid} is TERMINATED", uid))
    return changes


def _restarts(before: DeploymentStatus, now: DeploymentStatus) -> Iterator[str]:
    if before.deployment.generation != now.deployment.generation:
        return
    restarts = {each.ordinal: each.restarts for each in before.replicas}
    for replica in now.replicas:
        if replica.restarts > restarts.get(replica.ordinal, replica.restarts):
            uid, ordinal = now.deployment.uid, replica.ordinal
            yield f"Replica {ordinal} of model {uid} is started again, restart {replica.restarts}"


def _state(status: DeploymentStatus) -> str:
    text = status.state.value
    if status.state in _LEVELS and status.failure is not None:
        return f"{text}: {status.failure.message}"
    if status.state is DeploymentState.PENDING:
        reasons = {each.progress.message for each in status.replicas} - {""}
        return f"{text}: {' '.join(sorted(reasons))}" if reasons else text
    return text
