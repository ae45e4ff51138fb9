"""How a replica could be put onto the devices of one worker: at most one way for each selector."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from xinfer.core.supervisor.placement.ledger import WorkerLedger
from xinfer.core.supervisor.placement.need import SHARING_TYPES, Need
from xinfer.types.device import CPU, DeviceShare


class Candidate(NamedTuple):
    """One way to place a replica."""

    worker: WorkerLedger
    shares: tuple[DeviceShare, ...]
    rank: int
    """0 for the kind of way that is best: it comes before every score."""


class Rules(NamedTuple):
    """What holds for all placements."""

    pack: bool
    """Take the device with the least room that is enough, instead of the most."""
    share_devices: bool
    """Several models may share an accelerator."""
    accelerated: frozenset[str]
    """Engines that can compute on accelerators on some worker."""


class Selector(Protocol):
    def select(self, worker: WorkerLedger, need: Need, rules: Rules) -> Candidate | str:
        """The way, or why there is none, as a clause."""
        ...


class Accelerators:
    """So many accelerators of one kind, each with an equal part.

    Args:
        count: how many.
        rank: of the candidate.
    """

    def __init__(self, count: int, rank: int = 0) -> None:
        self._count = count
        self._rank = rank

    def select(self, worker: WorkerLedger, need: Need, rules: Rules) -> Candidate | str:
        memory = need.on_accelerators(self._count)
        best: list[tuple[int, int]] = []  # bytes available, position
        for kind in worker.view.engines[need.engine]:
            there = [(worker.available(n), n) for n in usable(worker, need, rules, kind)]
            fitting = [each for each in there if fits(memory, each[0])]
            if len(fitting) < self._count:
                continue
            # Of equal ones, the first.
            fitting.sort(key=lambda each: (each[0] if rules.pack else -each[0], each[1]))
            if not best or fitting[0][0] > best[0][0]:
                best = fitting[: self._count]
        if not best:
            return _too_few(worker, need, rules, self._count, memory)
        devices = [worker.view.devices[position] for position in sorted(n for _, n in best)]
        shares = tuple(DeviceShare(each.kind, each.index, memory) for each in devices)
        return Candidate(worker, shares, self._rank)


class ChosenAccelerators:
    """The accelerators that the launch names, whatever else runs there, as long as it fits."""

    def select(self, worker: WorkerLedger, need: Need, rules: Rules) -> Candidate | str:
        indices = need.place.gpu_idx
        memory = need.on_accelerators(len(indices))
        kinds = worker.view.engines[need.engine]
        reason = f"it has no devices {', '.join(map(str, indices))} that {need.engine} can use"
        for kind in kinds:
            positions = [worker.positions.get((kind, index)) for index in indices]
            if None in positions:
                continue
            full = [n for n in positions if n is not None and not fits(memory, worker.available(n))]
            if not full:
                shares = tuple(DeviceShare(kind, index, memory) for index in indices)
                return Candidate(worker, shares, 0)
            labels = ", ".join(worker.view.devices[n].label for n in full)
            reason = f"not enough is free on {labels}"
        return reason


class Spilling:
    """As much as fits on all accelerators of a kind, the rest in main memory."""

    def select(self, worker: WorkerLedger, need: Need, rules: Rules) -> Candidate | str:
        main = worker.positions.get((CPU, 0))
        if main is None:
            return "it has told of no main memory"
        reserve = need.memory.accelerator_overhead
        rest = need.memory.weights + need.memory.kv_cache
        shares: list[DeviceShare] = []
        for kind in worker.view.engines[need.engine]:
            for position in usable(worker, need, rules, kind):
                part = min(rest, worker.available(position) - reserve)
                device = worker.view.devices[position]
                if part > 0 and not device.unified:
                    shares.append(DeviceShare(kind, device.index, part + reserve))
                    rest -= part
            if shares:
                break
        if not shares:
            return "its accelerators are full"
        rest += need.memory.overhead
        if not fits(rest, worker.available(main)):
            return "not enough is free on its accelerators and in main memory together"
        return Candidate(worker, (*shares, DeviceShare(CPU, 0, rest)), 2)


class Processors:
    """Main memory alone.

    Args:
        rank: of the candidate.
    """

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def select(self, worker: WorkerLedger, need: Need, rules: Rules) -> Candidate | str:
        main = worker.positions.get((CPU, 0))
        if main is None:
            return "it has told of no main memory"
        if not fits(need.on_processors, worker.available(main)):
            return "not enough main memory is free"
        return Candidate(worker, (DeviceShare(CPU, 0, need.on_processors),), self._rank)


def selectors(worker: WorkerLedger, need: Need, rules: Rules) -> Iterator[Selector]:
    """The ways to try on this worker, the best first."""
    if need.place.gpu_idx:
        yield _CHOSEN
    elif need.wants_processors:
        yield _PROCESSORS
    elif isinstance(need.place.n_gpu, int):
        yield Accelerators(need.place.n_gpu)
    elif need.engine not in rules.accelerated:
        yield _PROCESSORS
    else:
        yield from _automatic(worker, need)


def _automatic(worker: WorkerLedger, need: Need) -> Iterator[Selector]:
    most = 0
    for kind in worker.view.engines[need.engine]:
        most = max(most, len(worker.of_kind.get(kind, ())))
    if not most:
        yield _ONLY_PROCESSORS
        return
    yield _ONE
    if need.memory.divides:
        yield from (Accelerators(count, rank=1) for count in range(2, most + 1))
    if need.memory.spills:
        yield from (_SPILLING, _ONLY_PROCESSORS)


def usable(worker: WorkerLedger, need: Need, rules: Rules, kind: str) -> list[int]:
    """Positions of the accelerators of a kind that work and that the rules allow."""
    positions = worker.of_kind.get(kind, [])
    if rules.share_devices or need.model_type in SHARING_TYPES:
        return positions
    return [position for position in positions if not worker.has_one_alone(position)]


def fits(memory: int, available: int) -> bool:
    """What needs nothing fits anywhere."""
    return memory <= max(0, available)


def _too_few(worker: WorkerLedger, need: Need, rules: Rules, count: int, memory: int) -> str:
    kinds = worker.view.engines[need.engine]
    there = [each for each in worker.view.devices if each.kind in kinds and not each.problem]
    if len(there) < count:
        others = [each for each in worker.view.devices if each.kind not in (*kinds, CPU)]
        if not there and others:
            return (
                f"{need.engine} as installed there cannot compute on its {others[0].kind} devices"
            )
        have = "no accelerator" if not there else f"only {len(there)}"
        return f"it has {have} that {need.engine} can use, and {count} are asked for"
    free = sum(len(usable(worker, need, rules, kind)) for kind in kinds)
    if free < count:
        return "another model has each of its accelerators for itself"
    if count == 1:
        return "none of its accelerators has enough free"
    return f"fewer than {count} of its accelerators have enough free"


_ONE = Accelerators(1)
_CHOSEN = ChosenAccelerators()
_SPILLING = Spilling()
_PROCESSORS = Processors(0)
_ONLY_PROCESSORS = Processors(3)
