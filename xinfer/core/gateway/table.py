"""The routing table: the last snapshot the supervisor pushed, and questions to it."""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Callable
from typing import TypeVar

from xinfer.errors import NotFound, Unavailable
from xinfer.types.deployment import DeploymentState, DeploymentStatus, ReplicaStatus, Snapshot

T = TypeVar("T")


class RoutingTable:
    """Answers from memory; no call leaves the process."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.connected = False
        """Whether the control plane is there; without it the last snapshot still routes."""
        self._changed: asyncio.Future[None] | None = None
        self._aliases: dict[str, str] = {}

    def update(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._aliases = _aliases(snapshot)
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)
        self._changed = None

    def deployments(self) -> list[DeploymentStatus]:
        """All of them, by uid."""
        if self.snapshot is None:
            return []
        return [status for _, status in sorted(self.snapshot.deployments.items())]

    def resolve(self, name: str) -> str:
        """The uid that a name stands for, which is a uid, an alias, or unknown: then itself."""
        if self.snapshot is not None and name in self.snapshot.deployments:
            return name
        return self._aliases.get(name, name)

    def status(self, uid: str) -> DeploymentStatus:
        """One deployment, by its uid or an alias.

        Raises:
            NotFound: there is none of this name; the message has the nearest names.
            Unavailable: no snapshot has come yet.
        """
        if self.snapshot is None:
            raise Unavailable(
                "The server is starting and does not know its models yet.",
                code="starting",
                retry_after=1.0,
            )
        deployments = self.snapshot.deployments
        found = deployments.get(uid) or deployments.get(self._aliases.get(uid, ""))
        if found is None:
            raise unknown_model(uid, [*deployments, *self._aliases])
        return found

    def ready_replicas(self, uid: str) -> list[ReplicaStatus]:
        return [
            replica
            for replica in self.status(uid).replicas
            if replica.state is DeploymentState.READY
        ]

    def reachable_replicas(self, uid: str) -> list[ReplicaStatus]:
        """Those that answer on their links: also one that drains still runs what it has."""
        answering = (DeploymentState.READY, DeploymentState.DRAINING)
        return [
            replica
            for replica in self.status(uid).replicas
            if replica.state in answering and replica.address
        ]

    def working_replicas(self) -> list[ReplicaStatus]:
        """Those that answer, of all models whose engines work on requests in steps."""
        deployments = self.snapshot.deployments if self.snapshot is not None else {}
        return [
            replica
            for uid, status in deployments.items()
            if status.loaded is not None and status.loaded.abilities.tasks
            for replica in self.reachable_replicas(uid)
        ]

    def require_ready(self, uid: str) -> DeploymentStatus:
        """The deployment, if it can take requests now.

        Raises:
            NotFound: there is none of this uid.
            Unavailable: it is loading (with its progress), stopping or failed (with the cause).
        """
        status = self.status(uid)
        if any(replica.state is DeploymentState.READY for replica in status.replicas):
            return status
        raise not_ready(status)

    def capacity(self, uid: str) -> int | None:
        """Requests that all replicas together hold when all of them are ready, running and waiting;
        None where it is not known yet.

        Raises:
            NotFound: there is none of this uid.
        """
        status = self.status(uid)
        deployment, loaded = status.deployment, status.loaded
        if loaded is None:
            return None
        places = deployment.replicas * loaded.concurrency + deployment.max_queue
        limit = deployment.request_limits
        return places if limit is None else min(places, limit)

    async def wait_for(
        self, predicate: Callable[[Snapshot], T | None], timeout: float | None = None
    ) -> T:
        """The first value other than None that `predicate` gives for a snapshot.

        Raises:
            asyncio.TimeoutError: none within `timeout` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if self.snapshot is not None:
                value = predicate(self.snapshot)
                if value is not None:
                    return value
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise asyncio.TimeoutError
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            # Not `wait_for`: before Python 3.12 it loses a cancellation that meets the change.
            await asyncio.wait({self._changed}, timeout=left)


def _aliases(snapshot: Snapshot) -> dict[str, str]:
    """The uid that each alias stands for. One that is being stopped yields to its successor."""
    statuses = sorted(
        snapshot.deployments.values(), key=lambda one: one.state is not DeploymentState.DRAINING
    )
    return {alias: one.deployment.uid for one in statuses for alias in one.deployment.spec.aliases}


def unknown_model(uid: str, known: list[str]) -> NotFound:
    near = difflib.get_close_matches(uid, known, n=3, cutoff=0.5)
    if near:
        hint = f"Did you mean {' or '.join(map(repr, near))}?"
    elif known:
        hint = f"Running: {', '.join(sorted(known)[:10])}."
    else:
        hint = "No model is running; launch one with `xinference launch -n NAME`."
    shown = uid if len(uid) <= 100 else uid[:100] + "…"
    return NotFound(f"There is no model {shown!r}. {hint}", code="model_not_found", param="model")


def not_ready(status: DeploymentStatus) -> Unavailable:
    """Why a deployment without a ready replica takes no requests."""
    uid = status.deployment.uid
    if status.state is DeploymentState.ERROR:
        cause = (status.failure.message if status.failure else "it failed to start").rstrip(".")
        return Unavailable(
            f"Model {uid!r} has failed and will not be tried again: {cause}. "
            "Launch it anew once the cause is mended.",
            code="model_failed",
            details=status.failure.details if status.failure else None,
        )
    if status.state is DeploymentState.DRAINING:
        return Unavailable(f"Model {uid!r} is being stopped.", code="draining", retry_after=5.0)
    progress = max((replica.progress.fraction for replica in status.replicas), default=0.0)
    return Unavailable(
        f"Model {uid!r} is loading ({status.state.value.lower()}, {progress:.0%}). "
        "Try again shortly.",
        code="model_loading",
        retry_after=1.0,
        details={
            "loading": {
                "state": status.state.value,
                "progress": round(progress, 4),
                "eta_seconds": None,
            }
        },
    )
