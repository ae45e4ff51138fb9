"""The node as it is reported: drivers that answer, that are late, that hang."""

from __future__ import annotations

import asyncio
import mmap
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from tests.support.machines import RecordedNvml
from tests.unit.core.worker.conftest import assignment
from xinfer.core.worker.devices.attribution import attribute, held_in_main_memory, private_memory
from xinfer.core.worker.devices.devices import Devices
from xinfer.core.worker.devices.driver import Driver, Reading
from xinfer.core.worker.devices.nvidia import NvidiaDriver
from xinfer.settings import Settings
from xinfer.types.cluster import ReplicaReport
from xinfer.types.deployment import DeploymentState
from xinfer.types.device import Device, DeviceShare, Holder
from xinfer.types.model import ModelSpec

pytestmark = pytest.mark.anyio

READY, LOADING = DeploymentState.READY, DeploymentState.LOADING


def replica(
    *shares: DeviceShare, state: DeploymentState = READY, pid: int = 500, replica_id: str = "r"
) -> ReplicaReport:
    given = msgspec.structs.replace(assignment(replica_id, "", ModelSpec(name="m")), devices=shares)
    return ReplicaReport(assignment=given, state=state, pid=pid)


class HeldDriver:
    """Answers when `go` is set."""

    maker = "Test"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.reads = 0

    def present(self) -> bool:
        return True

    def read(self) -> Reading:
        assert self.go.wait(10)
        self.reads += 1
        return Reading((Device(kind="cuda", index=0, name=f"reading {self.reads}"),))


@asynccontextmanager
async def opened(*drivers: Driver, **settings: float) -> AsyncIterator[tuple[Devices, list[int]]]:
    changes: list[int] = []
    made = Settings(**{"heartbeat_interval": 600.0, **settings})  # type: ignore[arg-type]
    devices = Devices(drivers, made, lambda: changes.append(1))
    await devices.open()
    try:
        yield devices, changes
    finally:
        devices.close()


async def until(look: Callable[[], object]) -> None:
    async def wait() -> None:
        while not look():  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    await asyncio.wait_for(wait(), 10)


async def test_processors_are_always_there_and_come_last() -> None:
    async with opened() as (devices, _):
        (only,) = devices.measure(()).devices
        assert (only.kind, only.index) == ("cpu", 0)
        assert only.cores >= 1
        assert 0 < only.memory_free < only.memory_total
        assert only.memory_used == only.memory_total - only.memory_free
    async with opened(NvidiaDriver(None, RecordedNvml.of("eight_gpus"))) as (devices, _):
        found = devices.measure(()).devices
        assert [each.kind for each in found] == ["cuda"] * 8 + ["cpu"]


async def test_a_broken_driver_is_told_beside_the_processors() -> None:
    async with opened(NvidiaDriver(None, RecordedNvml.of("broken_driver"))) as (devices, _):
        measured = devices.measure(())
        assert [each.kind for each in measured.devices] == ["cpu"]
        (problem,) = measured.problems
        assert "NVIDIA's driver does not work here" in problem


async def test_a_driver_that_hangs_holds_up_nobody_and_serves_when_it_comes_back() -> None:
    driver = HeldDriver()
    async with opened(driver, driver_timeout=0.05) as (devices, changes):
        measured = devices.measure(())
        assert [each.kind for each in measured.devices] == ["cpu"]
        assert "Test's driver has not answered for 0.05 s" in measured.problems[0]
        driver.go.set()
        await until(lambda: changes)
        measured = devices.measure(())
        assert [each.kind for each in measured.devices] == ["cuda", "cpu"]
        assert measured.problems == ()


async def test_accelerators_are_read_again_when_the_replicas_have_changed() -> None:
    driver = HeldDriver()
    driver.go.set()
    async with opened(driver) as (devices, changes):
        changes.clear()
        assert devices.measure(()).devices[0].name == "reading 1"
        devices.measure((replica(),))
        await until(lambda: changes)
        assert devices.measure((replica(),)).devices[0].name == "reading 2"
        assert driver.reads == 2


GPU = Device(
    kind="cuda",
    index=1,
    name="T4",
    holders=(Holder(501, 70), Holder(777, 30)),
)


def test_memory_of_a_process_in_a_replicas_group_is_the_replicas() -> None:
    groups = {501: 500, 777: 777}
    (device,) = attribute([GPU], [replica(DeviceShare("cuda", 1, 99))], groups.__getitem__)
    assert device.holders == (Holder(501, 70, "r"), Holder(777, 30))


def test_a_loaded_replica_that_the_driver_does_not_tell_of_holds_what_it_was_given() -> None:
    share = DeviceShare("cuda", 1, 99)
    elsewhere = replica(DeviceShare("cuda", 0, 99), pid=600, replica_id="s")
    (device,) = attribute([GPU], [replica(share), elsewhere], lambda pid: 0)
    assert device.holders[2:] == (Holder(500, 99, "r"),)
    (device,) = attribute([GPU], [replica(share, state=LOADING)], lambda pid: 0)
    assert device.holders == GPU.holders


def test_in_main_memory_a_replica_holds_what_only_it_has() -> None:
    on_cpu, on_gpu = replica(DeviceShare("cpu", 0, 9)), replica(DeviceShare("cuda", 0, 9), pid=9)
    assert held_in_main_memory([on_cpu, on_gpu], lambda pid: pid * 10) == (Holder(500, 5000, "r"),)


def test_a_process_that_has_ended_holds_nothing() -> None:
    assert private_memory(2**22 + 1) == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_mapped_file_is_not_private_memory(tmp_path: Path) -> None:
    size = 64 << 20
    file = tmp_path / "weights"
    file.write_bytes(bytes(size))
    before = private_memory(os.getpid())
    with (
        file.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
    ):
        assert sum(mapped[:: mmap.PAGESIZE]) == 0  # every page of it is resident now
        assert private_memory(os.getpid()) - before < size // 2
    assert before > 0
