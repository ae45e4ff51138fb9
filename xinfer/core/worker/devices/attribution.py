"""Whose memory it is that is held on a device."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from xinfer.types.cluster import ReplicaReport
from xinfer.types.deployment import DeploymentState
from xinfer.types.device import CPU, Device, Holder

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def process_group(pid: int) -> int:
    """The group of a process, which is named after its leader; 0 when it has ended."""
    if not hasattr(os, "getpgid"):
        return pid
    try:
        return os.getpgid(pid)
    except (ProcessLookupError, PermissionError):
        return 0


def private_memory(pid: int) -> int:
    """Bytes of main memory that only this process's end would free; 0 when it has ended.

    A mapped file, as a model's weights can be, is not among them.
    """
    with suppress(OSError, ValueError, IndexError):
        _, resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[:3]
        return (int(resident) - int(shared)) * _PAGE
    return 0


def attribute(
    devices: Sequence[Device],
    replicas: Iterable[ReplicaReport],
    group_of: Callable[[int], int] = process_group,
) -> tuple[Device, ...]:
    """The devices of a driver, with the replica's id at each process of a replica.

    Where the driver does not tell of a replica that has loaded, it is taken to hold what it was
    given: its memory is a part of what is used.

    Args:
        replicas: as they were when the reading began, so that all that has loaded was counted.
    """
    leaders = {one.pid: one for one in replicas if one.pid is not None}
    return tuple(_attribute(device, leaders, group_of) for device in devices)


def _attribute(
    device: Device, leaders: Mapping[int, ReplicaReport], group_of: Callable[[int], int]
) -> Device:
    holders: list[Holder] = []
    told: set[int] = set()
    for holder in device.holders:
        leader = leaders.get(group_of(holder.pid))
        if leader is not None and leader.pid is not None:
            told.add(leader.pid)
            holder = Holder(holder.pid, holder.memory, leader.assignment.replica_id)
        holders.append(holder)
    for pid, replica in leaders.items():
        if pid in told or replica.state is not DeploymentState.READY:
            continue
        for share in replica.assignment.devices:
            if (share.kind, share.index) == (device.kind, device.index):
                holders.append(Holder(pid, share.memory, replica.assignment.replica_id))
    return msgspec.structs.replace(device, holders=tuple(holders))


def held_in_main_memory(
    replicas: Iterable[ReplicaReport], memory_of: Callable[[int], int] = private_memory
) -> tuple[Holder, ...]:
    """What the replicas that were given main memory hold there by themselves."""
    return tuple(
        Holder(one.pid, memory_of(one.pid), one.assignment.replica_id)
        for one in replicas
        if one.pid is not None and any(share.kind == CPU for share in one.assignment.devices)
    )
