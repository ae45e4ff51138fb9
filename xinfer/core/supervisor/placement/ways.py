"""The best way to put a replica onto one worker."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from xinfer.core.supervisor.observed import ObservedWorker
from xinfer.core.supervisor.placement.candidates import Candidate, Rules, selectors
from xinfer.core.supervisor.placement.filters import FILTERS
from xinfer.core.supervisor.placement.ledger import WorkerLedger
from xinfer.core.supervisor.placement.need import Need
from xinfer.types.device import CPU


def best_way(worker: WorkerLedger, need: Need, rules: Rules) -> Candidate | str:
    """The way, or why there is none, as a clause: why the first thing tried does not do."""
    for each in FILTERS:
        refused = each.refuse(worker.view, need)
        if refused is not None:
            return refused
    reason = ""
    for selector in selectors(worker, need, rules):
        way = selector.select(worker, need, rules)
        if isinstance(way, Candidate):
            return way
        reason = reason or way
    return reason


def without(worker: ObservedWorker, replica_ids: Collection[str]) -> ObservedWorker:
    """The worker as it will be when these replicas have gone: what they hold is free."""
    freed_main = 0
    devices = []
    for device in worker.devices:
        freed = sum(each.memory for each in device.holders if each.replica_id in replica_ids)
        freed_main += freed if device.unified else 0
        kept = tuple(each for each in device.holders if each.replica_id not in replica_ids)
        devices.append(
            msgspec.structs.replace(
                device,
                memory_free=device.memory_free + freed,
                memory_used=device.memory_used - freed,
                holders=kept,
            )
            if freed
            else device
        )
    if freed_main:
        devices = [
            msgspec.structs.replace(device, memory_free=device.memory_free + freed_main)
            if device.kind == CPU
            else device
            for device in devices
        ]
    return msgspec.structs.replace(worker, devices=tuple(devices))
