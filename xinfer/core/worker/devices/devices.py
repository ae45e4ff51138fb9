"""All devices of this node, as the worker reports them."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

import msgspec

from xinfer.core.worker.devices.amd import AmdDriver
from xinfer.core.worker.devices.apple import AppleDriver
from xinfer.core.worker.devices.attribution import held_in_main_memory
from xinfer.core.worker.devices.driver import Driver
from xinfer.core.worker.devices.nvidia import NvidiaDriver
from xinfer.core.worker.devices.usage import measure
from xinfer.core.worker.devices.watch import Watch
from xinfer.settings import Settings
from xinfer.types.cluster import NodeUsage, ReplicaReport
from xinfer.types.device import CPU, Device

logger = logging.getLogger(__name__)


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """The node at one time."""

    usage: NodeUsage
    devices: tuple[Device, ...]
    """Accelerators first, the processors last."""
    problems: tuple[str, ...]


def drivers(environment: Mapping[str, str]) -> list[Driver]:
    """The drivers that this node has."""
    known: list[Driver] = [
        NvidiaDriver(environment.get("CUDA_VISIBLE_DEVICES")),
        AmdDriver(environment.get("HIP_VISIBLE_DEVICES")),
        AppleDriver(),
    ]
    return [driver for driver in known if driver.present()]


class Devices:
    """Watches the drivers from `open` to `close`.

    Args:
        found: the node's drivers.
        on_change: called on the event loop when there is more to report than passing time.
    """

    def __init__(
        self, found: Iterable[Driver], settings: Settings, on_change: Callable[[], None]
    ) -> None:
        self._drivers = list(found)
        self._settings = settings
        self._on_change = on_change
        self._watches: list[Watch] = []
        self._problems: tuple[str, ...] = ()
        self._replicas: tuple[tuple[str, object], ...] = ()

    async def open(self) -> None:
        """Have every driver answer once, or be taken for broken."""
        self._watches = [
            Watch(
                driver,
                interval=self._settings.heartbeat_interval,
                patience=self._settings.driver_timeout,
                on_change=self._on_change,
            )
            for driver in self._drivers
        ]
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._all_read(), self._settings.driver_timeout)
        for device in self.measure(()).devices:
            logger.info("Device %s: %s, %s", device.label, device.name, _gib(device.memory_total))

    def measure(self, replicas: tuple[ReplicaReport, ...]) -> Measurement:
        """The node now, processors afresh and accelerators as last read; takes microseconds.

        When the replicas have changed, accelerators are read again soon.
        """
        states = tuple((one.assignment.replica_id, one.state) for one in replicas)
        if states != self._replicas:
            self._replicas = states
            for watch in self._watches:
                watch.ask(replicas)
        usage = measure()
        readings = [watch.reading() for watch in self._watches]
        accelerators = [device for reading in readings for device in reading.devices]
        problems = tuple(reading.problem for reading in readings if reading.problem)
        self._log(problems)
        return Measurement(
            usage=usage, devices=(*accelerators, _processors(usage, replicas)), problems=problems
        )

    def close(self) -> None:
        for watch in self._watches:
            watch.close()

    async def _all_read(self) -> None:
        for watch in self._watches:
            await watch.first.wait()

    def _log(self, problems: tuple[str, ...]) -> None:
        for problem in problems:
            if problem not in self._problems:
                logger.warning("%s", problem)
        self._problems = problems


def _processors(usage: NodeUsage, replicas: tuple[ReplicaReport, ...]) -> Device:
    return Device(
        kind=CPU,
        index=0,
        name=_processor_name(),
        cores=usage.cpu_count,
        memory_total=usage.memory_total,
        memory_used=usage.memory_used,
        memory_free=usage.memory_available,
        utilisation=usage.cpu_usage,
        holders=held_in_main_memory(replicas),
    )


@cache
def _processor_name() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB"
