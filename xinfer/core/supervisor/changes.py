"""What changed between two snapshots, in words for the log."""

from __future__ import annotations

import logging
from typing import NamedTuple

from xinfer.types.deployment import DeploymentState, DeploymentStatus, Snapshot

_BAD = (DeploymentState.ERROR, DeploymentState.RESTARTING)


class Line(NamedTuple):
    """One line of log; `level` is logging's."""

    level: int
    text: str


def describe_changes(old: Snapshot, new: Snapshot) -> list[Line]:
    """A line for each deployment whose state is another one, or that has gone."""
    lines: list[Line] = []
    for uid, status in new.deployments.items():
        before = old.deployments.get(uid)
        if before is None or before.state is not status.state:
            level = logging.WARNING if status.state in _BAD else logging.INFO
            lines.append(Line(level, f"Model {uid} is {_state(status)}"))
    for uid in old.deployments.keys() - new.deployments.keys():
        lines.append(Line(logging.INFO, f"Model {uid} is TERMINATED"))
    return lines


def _state(status: DeploymentStatus) -> str:
    text = status.state.value
    if status.state in _BAD and status.failure is not None:
        return f"{text}: {status.failure.message}"
    if status.state is DeploymentState.PENDING:
        reasons = {each.progress.message for each in status.replicas} - {""}
        return f"{text}: {' '.join(sorted(reasons))}" if reasons else text
    return text
