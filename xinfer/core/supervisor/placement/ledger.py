"""The cluster's memory while replicas are given parts of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from xinfer.core.supervisor.observed import ObservedReplica, ObservedWorker
from xinfer.core.supervisor.placement.need import SHARING_TYPES
from xinfer.types.device import CPU


class WorkerLedger:
    """One worker: what may still be given away of each device, and who has the rest.

    Of a device, what is free now may be given away, less what replicas that were given a part of
    it do not hold yet. A plan for a large cluster makes a thousand of these.
    """

    def __init__(self, view: ObservedWorker, replicas: Iterable[ObservedReplica] = ()) -> None:
        self.view = view
        self.replicas: list[ObservedReplica] = []
        self.of_uid: dict[str, int] = {}
        self.positions: dict[tuple[str, int], int] = {}
        self.of_kind: dict[str, list[int]] = {}
        """Positions of the devices that work."""
        self._left: list[int] = []
        self._held: dict[tuple[str, int], int] = {}
        self._alone: set[int] = set()
        for position, device in enumerate(view.devices):
            self.positions[device.kind, device.index] = position
            self._left.append(-1 if device.problem else device.memory_free)
            if not device.problem:
                self.of_kind.setdefault(device.kind, []).append(position)
            for holder in device.holders:
                if holder.replica_id:
                    key = holder.replica_id, position
                    self._held[key] = self._held.get(key, 0) + holder.memory
        self._main = self.positions.get((CPU, 0))
        for replica in replicas:
            self.add(replica)

    def available(self, position: int) -> int:
        """Bytes of the device at this position that may be given away."""
        left = self._left[position]
        if self._main is not None and self.view.devices[position].unified:
            return min(left, self._left[self._main])
        return left

    def has_one_alone(self, position: int) -> bool:
        """Whether a model is there that would have an accelerator for itself by the old rule."""
        return position in self._alone

    def held(self, replica_id: str, position: int) -> int:
        """Bytes that a replica holds there, as far as they are told."""
        return self._held.get((replica_id, position), 0)

    def add(self, replica: ObservedReplica) -> None:
        """It has, or is given, what its shares say."""
        self.replicas.append(replica)
        uid = replica.slot.uid
        self.of_uid[uid] = self.of_uid.get(uid, 0) + 1
        for share in replica.devices:
            position = self.positions.get((share.kind, share.index))
            if position is None:
                continue
            outstanding = share.memory - self._held.get((replica.replica_id, position), 0)
            if outstanding > 0:
                self._left[position] -= outstanding
                if self._main is not None and self.view.devices[position].unified:
                    self._left[self._main] -= outstanding
            if share.kind != CPU and replica.model_type not in SHARING_TYPES:
                self._alone.add(position)

    def count(self, kind: str) -> int:
        """Devices of a kind that work; at least 1."""
        return max(1, len(self.of_kind.get(kind, ())))


class Ledger:
    """All workers that take replicas; each is worked out when it is looked at."""

    def __init__(
        self, workers: Iterable[ObservedWorker], replicas: Iterable[ObservedReplica]
    ) -> None:
        self._views = {each.worker_id: each for each in workers}
        self._replicas: dict[str, list[ObservedReplica]] = {each: [] for each in self._views}
        self._workers: dict[str, WorkerLedger] = {}
        self._of_uid: dict[str, Counter[str]] = defaultdict(Counter)
        for replica in replicas:
            there = self._replicas.get(replica.worker_id)
            if there is not None:
                there.append(replica)
                self._of_uid[replica.slot.uid][replica.worker_id] += 1
        self.accelerated = {
            engine
            for view in self._views.values()
            for engine, kinds in view.engines.items()
            if kinds
        }
        """Engines that can compute on accelerators somewhere."""

    def add(self, replica: ObservedReplica) -> None:
        """It is given what its shares say; its worker was looked at."""
        self._workers[replica.worker_id].add(replica)
        self._of_uid[replica.slot.uid][replica.worker_id] += 1

    def emptiest(self, uid: str) -> Iterator[WorkerLedger]:
        """Those with the fewest replicas of this model first, then with the fewest of any."""
        of_uid = self._of_uid[uid]
        order = sorted(self._views, key=lambda each: (of_uid[each], self._count(each), each))
        return map(self._worker, order)

    def in_order(self) -> Iterator[WorkerLedger]:
        """By id, so that the first are filled first."""
        return map(self._worker, sorted(self._views))

    def _count(self, worker_id: str) -> int:
        worker = self._workers.get(worker_id)
        return len(self._replicas[worker_id] if worker is None else worker.replicas)

    def _worker(self, worker_id: str) -> WorkerLedger:
        worker = self._workers.get(worker_id)
        if worker is None:
            worker = WorkerLedger(self._views[worker_id], self._replicas[worker_id])
            self._workers[worker_id] = worker
        return worker
