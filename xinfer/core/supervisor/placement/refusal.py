"""Why a replica has no place, in numbers: needed, free, who holds the rest, what would fit."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from xinfer.core.supervisor.placement.advice import ways_out
from xinfer.core.supervisor.placement.candidates import Rules
from xinfer.core.supervisor.placement.ledger import WorkerLedger
from xinfer.core.supervisor.placement.need import Need
from xinfer.core.supervisor.placement.sizes import gib
from xinfer.types.device import CPU

PREFIX = "No available slot found for the model"
"""What existing scripts look for."""

_SHOWN_WORKERS = 3
_SHOWN_DEVICES = 8


class Refusal:
    """No worker can have the replica.

    Args:
        reasons: why not, for each worker, as a clause.
    """

    def __init__(self, need: Need, reasons: list[tuple[WorkerLedger, str]], rules: Rules) -> None:
        self._need = need
        self._reasons = sorted(reasons, key=lambda each: -_room(each[0]))
        self._rules = rules

    @cached_property
    def message(self) -> str:
        """One paragraph for people."""
        memory = self._need.memory
        needed = gib(memory.weights + memory.kv_cache + memory.overhead)
        more_there = (
            f"; {gib(memory.accelerator_overhead)} of buffers on each accelerator"
            if memory.accelerator_overhead and self._need.engine in self._rules.accelerated
            else ""
        )
        lines = [
            f"{PREFIX} {self._need.uid}: a replica needs {needed} (weights "
            f"{gib(memory.weights)}, KV cache {gib(memory.kv_cache)}, buffers "
            f"{gib(memory.overhead)}{more_there})."
        ]
        for worker, reason in self._reasons[:_SHOWN_WORKERS]:
            devices = "; ".join(self._describe(worker))
            lines.append(f"Worker {worker.view.address}: {reason} ({devices}).")
        if self._unknown_labels:
            lines.append(f"No worker has the label {', '.join(self._unknown_labels)}.")
        more = len(self._reasons) - _SHOWN_WORKERS
        if more > 0:
            lines.append(f"{more} more workers have no place for it either.")
        ways = list(ways_out(self._need, [worker for worker, _ in self._reasons], self._rules))
        lines.append(
            f"It would fit {', or '.join(ways)}."
            if ways
            else "Terminate models, launch this one in a smaller form, or add a worker."
        )
        return " ".join(lines)

    def details(self) -> dict[str, Any]:
        """The same for programs, in bytes: worker by worker, device by device."""
        memory = self._need.memory
        return {
            "needed": {
                "weights": memory.weights,
                "kv_cache": memory.kv_cache,
                "overhead": memory.overhead,
                "accelerator_overhead": memory.accelerator_overhead,
            },
            **({"unknown_labels": self._unknown_labels} if self._need.labels else {}),
            "workers": [
                {
                    "worker": worker.view.address,
                    "reason": reason,
                    "devices": [_device(worker, n) for n in range(len(worker.view.devices))],
                }
                for worker, reason in self._reasons
            ],
        }

    @cached_property
    def _unknown_labels(self) -> list[str]:
        """Those asked for that not a single worker has, as `key=value`."""
        return [
            f"{key}={value}"
            for key, value in sorted(self._need.labels.items())
            if all(worker.view.labels.get(key) != value for worker, _ in self._reasons)
        ]

    def _describe(self, worker: WorkerLedger) -> list[str]:
        """The devices that count, those with the most room first."""
        need = self._need
        kinds: tuple[str, ...] = worker.view.engines.get(need.engine, ())
        if need.wants_processors or not kinds or need.memory.spills:
            kinds = (*(() if need.wants_processors else kinds), CPU)
        shown = [n for n, device in enumerate(worker.view.devices) if device.kind in kinds]
        shown.sort(key=worker.available, reverse=True)
        words = [_words(worker, n) for n in shown[:_SHOWN_DEVICES]]
        return words or ["no device that it could use"]


def _room(worker: WorkerLedger) -> int:
    return max((worker.available(n) for n in range(len(worker.view.devices))), default=0)


def _words(worker: WorkerLedger, position: int) -> str:
    device = worker.view.devices[position]
    if device.problem:
        return f"{device.label} {device.problem.rstrip('.')}"
    told = _device(worker, position)
    held = [f"{each['model_uid']} {gib(each['memory'])}" for each in told["held_by"]]
    if told["others"] >= 1 << 20:
        held.append(f"others {gib(told['others'])}")
    rest = f", held: {', '.join(held)}" if held else ""
    return f"{device.label} has {gib(told['available'])} of {gib(told['total'])} to give{rest}"


def _device(worker: WorkerLedger, position: int) -> dict[str, Any]:
    device = worker.view.devices[position]
    held_by = [
        {
            "model_uid": replica.slot.uid,
            "replica_id": replica.replica_id,
            "memory": max(share.memory, worker.held(replica.replica_id, position)),
        }
        for replica in worker.replicas
        for share in replica.devices
        if (share.kind, share.index) == (device.kind, device.index)
    ]
    ours = sum(worker.held(each.replica_id, position) for each in worker.replicas)
    return {
        "device": device.label,
        "name": device.name,
        "total": device.memory_total,
        "free": device.memory_free,
        "available": max(0, worker.available(position)),
        "held_by": held_by,
        "others": max(0, device.memory_used - ours),
    }
