"""What a replica sees of its node's accelerators."""

from __future__ import annotations

from xinfer.core.worker.devices.visible import visibility
from xinfer.core.worker.spawn import replica_environment
from xinfer.types.device import DeviceShare


def test_a_replica_sees_the_accelerators_it_was_given_by_the_drivers_numbers() -> None:
    shares = (DeviceShare("cuda", 2, 9), DeviceShare("cuda", 5, 9), DeviceShare("cpu", 0, 1))
    assert visibility(shares) == {
        "CUDA_VISIBLE_DEVICES": "2,5",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "HIP_VISIBLE_DEVICES": "-1",
    }


def test_a_replica_on_processors_sees_no_accelerator_whatever_the_worker_sees() -> None:
    environment = replica_environment(
        {"CUDA_VISIBLE_DEVICES": "0,1", "PATH": "/bin"}, (DeviceShare("cpu", 0, 1),)
    )
    assert environment["CUDA_VISIBLE_DEVICES"] == "-1"
    assert environment["HIP_VISIBLE_DEVICES"] == "-1"
    assert environment["PATH"] == "/bin"
