"""Which of the possible ways is the best: the least score, scorer after scorer."""

from __future__ import annotations

from typing import Protocol

from xinfer.core.supervisor.placement.candidates import Candidate
from xinfer.core.supervisor.placement.need import Need
from xinfer.core.supervisor.placement.sizes import gib


class Scorer(Protocol):
    def score(self, candidate: Candidate, need: Need) -> float: ...

    def words(self, candidate: Candidate, need: Need) -> str:
        """What was counted, as a clause, before the replica is placed."""
        ...


class FewestOfModel:
    """A worker that is lost should take as few replicas of a model with it as can be."""

    def score(self, candidate: Candidate, need: Need) -> float:
        return candidate.worker.of_uid.get(need.uid, 0)

    def words(self, candidate: Candidate, need: Need) -> str:
        return f"{candidate.worker.of_uid.get(need.uid, 0)} others of this model there"


class FewestReplicas:
    """By device, so that a large node gets its share."""

    def score(self, candidate: Candidate, need: Need) -> float:
        worker = candidate.worker
        return len(worker.replicas) / worker.count(candidate.shares[0].kind)

    def words(self, candidate: Candidate, need: Need) -> str:
        return f"{len(candidate.worker.replicas)} replicas there in all"


class MostRoom:
    """The largest part of the devices left free."""

    def score(self, candidate: Candidate, need: Need) -> float:
        left, whole = _room(candidate)
        return -left / whole if whole else 0.0

    def words(self, candidate: Candidate, need: Need) -> str:
        left, whole = _room(candidate)
        return f"{gib(left)} of {gib(whole)} left then"


class LeastRoom(MostRoom):
    """The fewest bytes left free, so that other devices stay whole for large models."""

    def score(self, candidate: Candidate, need: Need) -> float:
        return _room(candidate)[0]


SPREAD: tuple[Scorer, ...] = (FewestOfModel(), FewestReplicas(), MostRoom())
PACK: tuple[Scorer, ...] = (LeastRoom(), FewestOfModel())


def _room(candidate: Candidate) -> tuple[int, int]:
    """Bytes left on the devices of the way, and all that they have."""
    worker = candidate.worker
    left = whole = 0
    for share in candidate.shares:
        position = worker.positions[share.kind, share.index]
        left += worker.available(position) - share.memory
        whole += worker.view.devices[position].memory_total
    return left, whole
