"""Workers that are out of the question for a replica, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from xinfer.core.supervisor.observed import ObservedWorker
from xinfer.core.supervisor.placement.need import Need
from xinfer.types.deployment import Place
from xinfer.types.model import Memory


class WorkerFilter(Protocol):
    def refuse(self, worker: ObservedWorker, need: Need) -> str | None:
        """Why this worker cannot have the replica, as a clause; None if it can."""
        ...


class NamedWorker:
    """The launch may name its worker."""

    def refuse(self, worker: ObservedWorker, need: Need) -> str | None:
        wanted = need.place.worker
        if not wanted or wanted in (worker.address, _host(worker.address)):
            return None
        return f"the launch asks for worker {wanted}"


class HasLabels:
    """The launch may name labels of its worker."""

    def refuse(self, worker: ObservedWorker, need: Need) -> str | None:
        lacking = [
            f"{key}={value}"
            for key, value in sorted(need.labels.items())
            if worker.labels.get(key) != value
        ]
        return f"it has not the label {', '.join(lacking)}" if lacking else None


class HasEngine:
    """The engine has to be installed where the replica runs."""

    def refuse(self, worker: ObservedWorker, need: Need) -> str | None:
        if need.engine in worker.engines:
            return None
        return f"engine {need.engine} is not installed there"


class HasDevices:
    """A worker tells its devices before anything is placed on it."""

    def refuse(self, worker: ObservedWorker, need: Need) -> str | None:
        return None if worker.devices else "it has told of no device"


def may_run_on(worker: ObservedWorker, place: Place, labels: Mapping[str, str]) -> bool:
    """Whether a launch leaves this worker to a replica with this place, whatever it needs."""
    need = Need("", "", "", Memory(), place, labels)
    return all(each.refuse(worker, need) is None for each in (NamedWorker(), HasLabels()))


FILTERS: tuple[WorkerFilter, ...] = (NamedWorker(), HasLabels(), HasEngine(), HasDevices())


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")
