"""AMD's GPUs by the kernel's files, and Apple's by main memory."""

from __future__ import annotations

from pathlib import Path

from tests.support.machines import write_files
from xinfer.core.worker.devices.amd import AmdDriver
from xinfer.core.worker.devices.apple import AppleDriver
from xinfer.core.worker.devices.memory import MainMemory
from xinfer.types.device import Holder

MIB = 1 << 20
GIB = 1 << 30


def test_amds_gpus_are_numbered_as_the_topology_has_them(tmp_path: Path) -> None:
    write_files(tmp_path, "two_amd_gpus")
    driver = AmdDriver(None, tmp_path)
    assert driver.present()
    (first, second), problem = driver.read()
    assert problem == ""
    assert (first.label, first.name, first.memory_used) == (
        "rocm:0",
        "AMD Instinct MI210",
        10 * MIB,
    )
    assert (second.label, second.name, second.memory_free) == ("rocm:1", "AMD GPU", 25520 * MIB)
    assert (first.utilisation, second.utilisation) == (0.0, 0.77)
    assert (first.holders, second.holders) == ((), (Holder(880, 39000 * MIB),))


def test_the_tenth_node_of_the_topology_comes_after_the_ninth(tmp_path: Path) -> None:
    write_files(tmp_path, "two_amd_gpus")
    nodes = tmp_path / "class/kfd/kfd/topology/nodes"
    (nodes / "3").rename(nodes / "10")
    (first, second), _ = AmdDriver(None, tmp_path).read()
    assert (first.memory_used, second.memory_used) == (10 * MIB, 40000 * MIB)


def test_only_the_allowed_ones_of_amds_gpus_are_listed(tmp_path: Path) -> None:
    write_files(tmp_path, "two_amd_gpus")
    (device,), _ = AmdDriver("1", tmp_path).read()
    assert device.label == "rocm:1"


def test_a_gpu_of_amd_whose_files_are_gone_is_listed_with_the_reason(tmp_path: Path) -> None:
    write_files(tmp_path, "two_amd_gpus")
    (tmp_path / "bus/pci/devices/0000:63:00.0/mem_info_vram_used").unlink()
    (first, second), problem = AmdDriver(None, tmp_path).read()
    assert "does not answer" in first.problem
    assert problem.startswith("rocm:0: ")
    assert second.problem == ""


def test_a_broken_driver_of_amd_is_a_problem_and_no_exception(tmp_path: Path) -> None:
    write_files(tmp_path, "two_amd_gpus")
    (tmp_path / "class/kfd/kfd/topology/nodes/2/gpu_id").write_text("?")
    devices, problem = AmdDriver(None, tmp_path).read()
    assert devices == ()
    assert "AMD's driver does not work here" in problem


def test_a_machine_without_amds_driver_has_none(tmp_path: Path) -> None:
    assert not AmdDriver(None, tmp_path).present()


def test_apples_gpu_may_use_a_part_of_main_memory() -> None:
    (small,), _ = AppleDriver(lambda: MainMemory(24 * GIB, 20 * GIB)).read()
    assert (small.memory_total, small.memory_free) == (16 * GIB, 12 * GIB)
    (large,), _ = AppleDriver(lambda: MainMemory(64 * GIB, 6 * GIB)).read()
    assert (large.memory_total, large.memory_free) == (48 * GIB, 0)
    assert small.unified
