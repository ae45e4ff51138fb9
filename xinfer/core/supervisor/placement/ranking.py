"""The ways to place what the replicas of one deployment need, the best first."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from xinfer.core.supervisor.placement.candidates import Candidate, Rules
from xinfer.core.supervisor.placement.ledger import WorkerLedger
from xinfer.core.supervisor.placement.need import Need
from xinfer.core.supervisor.placement.scorers import Scorer
from xinfer.core.supervisor.placement.ways import best_way

_ENOUGH = 100
"""Workers with a way of the best kind among which the best is looked for."""


class _Scored(NamedTuple):
    """`order` keeps equal ones apart."""

    key: tuple[float, ...]
    order: int
    way: Candidate


class Ranking:
    """Looks at workers in turn until it knows enough ways, and at one more for each way taken.

    Args:
        workers: the likeliest first.
    """

    def __init__(
        self, need: Need, workers: Iterator[WorkerLedger], scorers: Sequence[Scorer], rules: Rules
    ) -> None:
        self._need = need
        self._workers = enumerate(workers)
        self._scorers = scorers
        self._rules = rules
        self._heap: list[_Scored] = []
        self.reasons: list[tuple[WorkerLedger, str]] = []
        """Why not, for each worker that was looked at and has no way (any more)."""
        self._look(_ENOUGH)

    def best(self) -> Candidate | None:
        return self._heap[0].way if self._heap else None

    def taken(self) -> None:
        """The best way was taken, and its worker has changed by it."""
        _, order, (worker, _, _) = heapq.heappop(self._heap)
        self._weigh(worker, order)
        self._look(1)

    def _look(self, wanted: int) -> None:
        for order, worker in self._workers:
            if self._weigh(worker, order) == 0:
                wanted -= 1
                if not wanted:
                    return

    def _weigh(self, worker: WorkerLedger, order: int) -> int | None:
        """The rank of the worker's way; None if it has none."""
        way = best_way(worker, self._need, self._rules)
        if isinstance(way, str):
            self.reasons.append((worker, way))
            return None
        scores = (each.score(way, self._need) for each in self._scorers)
        heapq.heappush(self._heap, _Scored((way.rank, *scores), order, way))
        return way.rank
