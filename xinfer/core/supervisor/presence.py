"""Which workers there are: what each reported last, when it was heard, how often it was lost."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from xinfer.core.supervisor.observed import ObservedWorker
from xinfer.core.supervisor.silence import LossPolicy, find_lost, next_loss
from xinfer.types.cluster import WorkerReport
from xinfer.types.control import Node


@dataclass
class Worker:
    """One that is there."""

    report: WorkerReport
    seen: float
    ended: set[str] = field(default_factory=set)
    """Replica ids in the report whose end has been taken note of."""
    avoid_until: float = -math.inf
    """It answered no call, or comes and goes: nothing is placed on it until then."""


class _Loss(NamedTuple):
    """How often a worker was lost, and when the last time."""

    times: int
    at: float


class Presence:
    """The workers, by id. Every `now` is monotonic seconds.

    Args:
        loss: when a silent worker is lost.
    """

    def __init__(self, loss: LossPolicy) -> None:
        self._loss = loss
        self._losses: dict[str, _Loss] = {}
        """Of the workers that were lost lately, by id."""
        self._workers: dict[str, Worker] = {}

    def __len__(self) -> int:
        return len(self._workers)

    def __iter__(self) -> Iterator[Worker]:
        return iter(self._workers.values())

    def __contains__(self, worker_id: str) -> bool:
        return worker_id in self._workers

    def find(self, worker_id: str) -> Worker | None:
        return self._workers.get(worker_id)

    def at(self, address: str) -> list[str]:
        """The ids of those with this actor address."""
        return [
            worker_id
            for worker_id, worker in self._workers.items()
            if worker.report.address == address
        ]

    def join(self, report: WorkerReport, now: float) -> Worker:
        """One that was not there reports."""
        worker = self._workers[report.worker_id] = Worker(report, now)
        past = self._losses.get(report.worker_id)
        if past is not None and past.times > 1:
            # It comes and goes: what it runs stays, and nothing is added yet.
            worker.avoid_until = now + self._loss.silence
        return worker

    def hear(self, worker: Worker, now: float) -> None:
        """One that is there reports. Was it silent, those cut off with it have a moment, too."""
        if now - worker.seen >= self._loss.silence:
            for other in self._workers.values():
                other.seen = max(other.seen, now - self._loss.silence / 2)
        worker.seen = now

    def remove(self, worker_id: str) -> Worker | None:
        return self._workers.pop(worker_id, None)

    def expire(self, now: float) -> list[str]:
        """The ids of those that have been silent for too long, which are lost; they are still
        there until they are removed."""
        self._losses = {
            worker_id: loss
            for worker_id, loss in self._losses.items()
            if now - loss.at < self._loss.patience
        }
        lately = sum(
            1
            for worker_id, loss in self._losses.items()
            if worker_id not in self._workers and now - loss.at < self._loss.silence
        )
        lost = sorted(find_lost(self._seen(), now, self._loss, lost=lately))
        for worker_id in lost:
            times = self._losses[worker_id].times if worker_id in self._losses else 0
            self._losses[worker_id] = _Loss(times + 1, now)
        return lost

    def silent(self, now: float) -> int:
        """Those that are silent for too long, and are not lost only because too many are."""
        return sum(1 for at in self._seen().values() if now - at >= self._loss.silence)

    def _seen(self) -> dict[str, float]:
        return {worker_id: worker.seen for worker_id, worker in self._workers.items()}

    def pardon(self, seconds: float) -> None:
        """The supervisor itself stood still: the workers' silence of that time does not count."""
        for worker in self._workers.values():
            worker.seen += seconds

    def avoid(self, worker_id: str, until: float) -> None:
        """Place nothing on this worker until then."""
        if worker_id in self._workers:
            self._workers[worker_id].avoid_until = until

    def next_check(self, now: float) -> float | None:
        """When the passing of time alone changes what is observed; None without workers."""
        times = [w.avoid_until for w in self._workers.values() if w.avoid_until > now]
        loss = next_loss(self._seen(), now, self._loss)
        return min(times if loss is None else [*times, loss], default=None)

    def is_news(self, report: WorkerReport, now: float) -> bool:
        """Whether a report says more than that its worker is there, and how much is in use."""
        known = self._workers.get(report.worker_id)
        return (
            known is None
            or report.leaving
            or now - known.seen >= self._loss.silence
            or known.report.replicas != report.replicas
        )

    def is_leaving(self, worker_id: str) -> bool:
        """Whether this worker has said so; False for an unknown one."""
        worker = self._workers.get(worker_id)
        return worker is not None and worker.report.leaving

    def leaving(self) -> frozenset[str]:
        """The ids of those that have said so."""
        return frozenset(each for each, worker in self._workers.items() if worker.report.leaving)

    def address(self, worker_id: str) -> str:
        """The actor address of a worker that is there."""
        return self._workers[worker_id].report.address

    def addresses(self) -> set[str]:
        """All actor addresses."""
        return {worker.report.address for worker in self._workers.values()}

    def observed(self, now: float) -> tuple[ObservedWorker, ...]:
        """Those that something may be placed on."""
        return tuple(
            ObservedWorker(
                worker_id,
                worker.report.address,
                worker.report.devices,
                worker.report.engines,
                worker.report.labels,
            )
            for worker_id, worker in self._workers.items()
            if not worker.report.leaving
            and worker.avoid_until <= now
            and now - worker.seen < self._loss.silence
        )

    def nodes(self, now: float) -> list[Node]:
        """As users see them, by address."""
        nodes = [
            Node(
                address=worker.report.address,
                age=now - worker.seen,
                cpu_count=worker.report.usage.cpu_count,
                cpu_usage=worker.report.usage.cpu_usage,
                memory_total=worker.report.usage.memory_total,
                memory_available=worker.report.usage.memory_available,
                memory_used=worker.report.usage.memory_used,
                version=worker.report.version,
                labels=worker.report.labels,
                leaving=worker.report.leaving,
                devices=worker.report.devices,
                problems=worker.report.problems,
            )
            for worker in self._workers.values()
        ]
        return sorted(nodes, key=lambda node: node.address)
