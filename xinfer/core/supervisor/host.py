"""What the workers have, as the choice of a model's form sees it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from xinfer.core.supervisor.observed import ObservedWorker
from xinfer.model.catalog.host import Host
from xinfer.types.deployment import LaunchSpec
from xinfer.types.device import CPU, Device


def host_of(workers: Iterable[ObservedWorker], spec: LaunchSpec) -> Host:
    """The most that one worker can give a replica of this launch: of its accelerators those that
    the launch lets it have, and its main memory."""
    workers = list(workers)
    accelerators: dict[str, tuple[int, ...]] = {}
    for worker in workers if spec.n_gpu is not None or spec.gpu_idx else ():
        for kind in {device.kind for device in worker.devices} - {CPU}:
            free = _room(worker.devices, kind, spec)
            if sum(free) > sum(accelerators.get(kind, ())):
                accelerators[kind] = free
    memory = [
        device.memory_free
        for worker in workers
        for device in worker.devices
        if device.kind == CPU and device.memory_free
    ]
    engines: dict[str, frozenset[str]] = {}
    for worker in workers:
        for name, kinds in worker.engines.items():
            engines[name] = engines.get(name, frozenset()) | frozenset(kinds)
    return Host(accelerators=accelerators, memory=max(memory, default=None), engines=engines)


def _room(devices: Iterable[Device], kind: str, spec: LaunchSpec) -> tuple[int, ...]:
    """Free bytes of the accelerators that one replica may have, the emptiest first."""
    free = sorted(
        (
            device.memory_free
            for device in devices
            if device.kind == kind
            and not device.problem
            and (not spec.gpu_idx or device.index in spec.gpu_idx)
        ),
        reverse=True,
    )
    return tuple(free[: spec.n_gpu] if isinstance(spec.n_gpu, int) else free)
