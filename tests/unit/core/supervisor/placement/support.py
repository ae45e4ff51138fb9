"""Workers on recorded machines, and needs to place on them."""

from __future__ import annotations

from typing import Any

from tests.support.machines import RecordedNvml
from xinfer.core.supervisor.observed import ObservedReplica, ObservedWorker, SlotKey
from xinfer.core.supervisor.placement import Placed, Placement, PlacementPolicy, Refusal
from xinfer.core.supervisor.placement.need import Need
from xinfer.core.worker.devices.nvidia import NvidiaDriver
from xinfer.types.deployment import DeploymentState, Place
from xinfer.types.device import CPU, Device, DeviceShare, Holder
from xinfer.types.model import Memory

GIB = 1 << 30
ENGINES: dict[str, tuple[str, ...]] = {
    "echo": (),
    "gguf": ("cuda", "rocm"),
    "torch": ("cuda",),
    "cpu-only": (),
}


def processors(free: float = 100, total: float = 128, **fields: Any) -> Device:
    return Device(
        kind=CPU,
        index=0,
        name="CPU",
        cores=16,
        memory_total=int(total * GIB),
        memory_used=int((total - free) * GIB),
        memory_free=int(free * GIB),
        **fields,
    )


def gpu(
    index: int, free: float = 24, total: float = 24, *, kind: str = "cuda", **fields: Any
) -> Device:
    return Device(
        kind=kind,
        index=index,
        name="GPU",
        memory_total=int(total * GIB),
        memory_used=int((total - free) * GIB),
        memory_free=int(free * GIB),
        **fields,
    )


def worker(
    worker_id: str, *devices: Device, engines: dict[str, tuple[str, ...]] = ENGINES
) -> ObservedWorker:
    return ObservedWorker(worker_id, f"10.0.0.{worker_id[1:]}:9978", devices, engines)


def machine(worker_id: str, name: str) -> ObservedWorker:
    """A recorded machine with 128 GiB of main memory, 100 of them free."""
    devices = NvidiaDriver(None, RecordedNvml.of(name)).read().devices
    return worker(worker_id, *devices, processors())


def need(
    weights: float = 0,
    *,
    uid: str = "m",
    engine: str = "gguf",
    kv: float = 0,
    overhead: float = 0,
    accelerator: float = 0,
    model_type: str = "LLM",
    place: Place | None = None,
    **memory: bool,
) -> Need:
    return Need(
        uid,
        engine,
        model_type,
        Memory(
            weights=int(weights * GIB),
            kv_cache=int(kv * GIB),
            overhead=int(overhead * GIB),
            accelerator_overhead=int(accelerator * GIB),
            **memory,
        ),
        place or Place(),
    )


def running(
    uid: str,
    worker_id: str,
    *shares: tuple[str, float],
    ordinal: int = 0,
    model_type: str = "LLM",
) -> ObservedReplica:
    """A replica with shares such as ("cuda:1", GiB)."""
    made = tuple(
        DeviceShare(label.split(":")[0], int(label.split(":")[1]), int(size * GIB))
        for label, size in shares
    )
    return ObservedReplica(
        f"{uid}-{ordinal}",
        SlotKey(uid, 1, ordinal),
        worker_id,
        DeploymentState.READY,
        made,
        model_type,
    )


def holds(replica_id: str, size: float, pid: int = 1) -> Holder:
    return Holder(pid, int(size * GIB), replica_id)


class Cluster:
    """Places one need after the other."""

    def __init__(
        self,
        *workers: ObservedWorker,
        replicas: tuple[ObservedReplica, ...] = (),
        pack: bool = False,
        share: bool = True,
    ) -> None:
        policy = PlacementPolicy(pack=pack, share_devices=share)
        self.placement = Placement(workers, replicas, policy)
        self.placed = 0

    def choose(self, wanted: Need) -> Placed | Refusal:
        self.placed += 1
        slot = SlotKey(wanted.uid, 1, 100 + self.placed)
        return self.placement.choose(wanted, slot, f"new-{self.placed}")

    def place(self, wanted: Need) -> str:
        """Where it goes, as `w1 cuda:0 cuda:1`."""
        chosen = self.choose(wanted)
        assert isinstance(chosen, Placed), chosen.message
        return " ".join((chosen.worker_id, *(share.label for share in chosen.devices)))

    def refuse(self, wanted: Need) -> Refusal:
        chosen = self.choose(wanted)
        assert isinstance(chosen, Refusal), chosen
        return chosen
