"""NVIDIA's GPUs as machines of several kinds show them."""

from __future__ import annotations

import pytest

from tests.support.machines import RecordedNvml
from xinfer.core.worker.devices.memory import MainMemory
from xinfer.core.worker.devices.nvidia import NvidiaDriver
from xinfer.types.device import Device, Holder

MIB = 1 << 20


def read(name: str, allowed: str | None = None) -> tuple[tuple[Device, ...], str]:
    return NvidiaDriver(allowed, RecordedNvml.of(name)).read()


def test_a_machine_without_a_gpu_has_none_and_that_is_no_problem() -> None:
    assert read("no_gpu") == ((), "")


def test_a_gpu_is_read_with_who_holds_its_memory() -> None:
    devices, problem = read("one_gpu")
    assert problem == ""
    assert devices == (
        Device(
            kind="cuda",
            index=0,
            name="NVIDIA GeForce RTX 4090",
            memory_total=24564 * MIB,
            memory_used=3100 * MIB,
            memory_free=21464 * MIB,
            utilisation=0.35,
            holders=(Holder(2210, 412 * MIB), Holder(2954, 2300 * MIB)),
        ),
    )


def test_eight_gpus_are_numbered_in_order() -> None:
    devices, _ = read("eight_gpus")
    assert [device.label for device in devices] == [f"cuda:{n}" for n in range(8)]
    assert [device.memory_free // MIB for device in devices] == [15942, *[80942] * 7]


def test_a_gpu_that_is_lost_is_listed_with_the_reason_and_the_others_serve() -> None:
    devices, problem = read("mixed")
    assert [device.name for device in devices] == ["NVIDIA A100-SXM4-80GB", *["Tesla T4"] * 3]
    assert "GPU is lost" in devices[3].problem
    assert devices[3].memory_free == 0
    assert problem.startswith("cuda:3: ")
    assert [device.problem for device in devices[:3]] == ["", "", ""]


def test_what_a_driver_does_not_tell_is_left_open() -> None:
    devices, _ = read("mixed")
    assert (devices[2].utilisation, devices[2].holders) == (None, ())
    assert devices[2].memory_free == 15255 * MIB


def test_a_broken_driver_is_a_problem_and_no_exception() -> None:
    devices, problem = read("broken_driver")
    assert devices == ()
    assert "NVIDIA's driver does not work here" in problem
    assert "NVML/RM version mismatch" in problem
    assert "restart the machine" in problem


def test_a_driver_that_fails_later_and_comes_back_is_read_in_a_new_session() -> None:
    nvml = RecordedNvml.of("one_gpu")
    driver = NvidiaDriver(None, nvml)
    assert len(driver.read().devices) == 1
    nvml.spec["count_error"] = 999
    assert "does not work here" in driver.read().problem
    assert nvml.sessions == 0
    nvml.spec["count_error"] = 0
    assert len(driver.read().devices) == 1
    assert nvml.sessions == 1


def test_a_gpu_without_memory_of_its_own_has_the_main_memory() -> None:
    nvml = RecordedNvml.of("shared_memory")
    driver = NvidiaDriver(None, nvml, lambda: MainMemory(total=128, available=100))
    (device,) = driver.read().devices
    assert device.unified
    assert (device.memory_total, device.memory_used, device.memory_free) == (128, 28, 100)


@pytest.mark.parametrize(
    ("allowed", "indices"),
    [
        ("2,0", [0, 2]),
        ("GPU-7474cccc,0", [0, 2]),
        ("0,9,1", [0]),
        ("-1", []),
        ("", []),
        ("GPU-7474", []),  # stands for three
        ("1,1", [1]),
    ],
)
def test_only_the_gpus_that_the_worker_may_see_are_listed_under_their_own_numbers(
    allowed: str, indices: list[int]
) -> None:
    devices, _ = read("mixed", allowed)
    assert [device.index for device in devices] == indices


def test_without_the_drivers_library_nothing_is_asked() -> None:
    driver = NvidiaDriver(None)
    if not driver.present():
        assert driver.read() == ((), "")  # pynvml itself says that it is not there
