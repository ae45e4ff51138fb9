"""What would have to be different for a replica to find a place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from xinfer.core.supervisor.placement.candidates import Candidate, Rules
from xinfer.core.supervisor.placement.ledger import WorkerLedger
from xinfer.core.supervisor.placement.need import Need
from xinfer.core.supervisor.placement.sizes import gib
from xinfer.core.supervisor.placement.ways import best_way, without
from xinfer.types.deployment import AUTO

_COUNTS = (2, 4, 8)
_MOST_WORKERS = 16  # that are looked at for a model in the way


def ways_out(need: Need, workers: Sequence[WorkerLedger], rules: Rules) -> Iterator[str]:
    """Each completes "It would fit …".

    Args:
        workers: those without a place for it, the ones with the most room first.
    """
    place = need.place

    def fits(**changes: Any) -> bool:
        other = need._replace(place=msgspec.structs.replace(place, **changes))
        return any(isinstance(best_way(each, other, rules), Candidate) for each in workers)

    if place.gpu_idx and fits(gpu_idx=()):
        yield "without gpu_idx"
    if place.worker and fits(worker=""):
        yield "without naming the worker"
    if need.labels:
        anywhere = need._replace(labels={})
        if any(isinstance(best_way(each, anywhere, rules), Candidate) for each in workers):
            yield "without worker_labels"
    if place.n_gpu is not None and not place.gpu_idx:
        asked = 1 if place.n_gpu == AUTO else int(place.n_gpu)
        more = next((n for n in _COUNTS if n > asked and fits(n_gpu=n)), None)
        if more is not None:
            yield f"with n_gpu={more}"
        if fits(n_gpu=None):
            yield "on processors alone (n_gpu null)"
    cache = max((_room_for_cache(each, need, rules) for each in workers), default=0)
    if 0 < cache < need.memory.kv_cache:
        yield f"with a KV cache of {gib(cache)} (a smaller context, or fewer requests at once)"
    model = _model_in_the_way(need, workers[:_MOST_WORKERS], rules)
    if model is not None:
        yield f"if {model} were terminated"


def _room_for_cache(worker: WorkerLedger, need: Need, rules: Rules) -> int:
    """Bytes that are free beside the weights, where one device takes it all."""
    smallest = need._replace(memory=msgspec.structs.replace(need.memory, kv_cache=0))
    way = best_way(worker, smallest, rules)
    if not isinstance(way, Candidate) or len(way.shares) > 1:
        return 0
    (share,) = way.shares
    return worker.available(worker.positions[share.kind, share.index]) - share.memory


def _model_in_the_way(need: Need, workers: Sequence[WorkerLedger], rules: Rules) -> str | None:
    """A deployment without which there would be room."""
    for worker in workers:
        for uid in sorted(worker.of_uid):
            gone = {each.replica_id for each in worker.replicas if each.slot.uid == uid}
            kept = (each for each in worker.replicas if each.replica_id not in gone)
            relieved = WorkerLedger(without(worker.view, gone), kept)
            if uid != need.uid and isinstance(best_way(relieved, need, rules), Candidate):
                return uid
    return None
