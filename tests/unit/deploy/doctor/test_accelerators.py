"""Whether PyTorch can use the GPUs that are there, by what both tell."""

from __future__ import annotations

import pytest

from xinfer.deploy.doctor.accelerators import Nvidia, Torch, examine_torch
from xinfer.deploy.doctor.finding import State

DRIVER = Nvidia("550.54", (12, 4))


def verdict(
    torch: Torch | None, nvidia: Nvidia | None = DRIVER, gpus: int = 1
) -> tuple[State, str]:
    """Of PyTorch: the last finding's state, with its text and fix."""
    last = list(examine_torch(torch, nvidia, gpus))[-1]
    return last.state, f"{last.text} {last.fix}"


def working(capability: tuple[int, int], *architectures: str) -> Torch:
    return Torch(
        version="2.13.0",
        cuda="12.4",
        available=True,
        devices=("GPU",),
        capabilities=(capability,),
        architectures=architectures,
    )


def test_a_build_for_processors_beside_gpus_is_a_fault() -> None:
    state, text = verdict(Torch(version="2.13.0+cpu"))
    assert state is State.FAULT
    assert "without CUDA" in text
    assert "pip install --force-reinstall torch" in text


def test_a_build_for_processors_is_right_where_there_is_no_gpu() -> None:
    assert verdict(Torch(version="2.13.0+cpu"), None, 0)[0] is State.OK
    assert verdict(Torch(version="2.13.0", cuda="13.0"), None, 0)[0] is State.OK


def test_a_build_for_a_newer_cuda_than_the_drivers_names_both() -> None:
    state, text = verdict(Torch(version="2.14.0", cuda="13.0"))
    assert state is State.FAULT
    assert "CUDA 13.0" in text
    assert "up to 12.4" in text


def test_gpus_that_a_fitting_build_does_not_see_are_a_fault() -> None:
    state, text = verdict(Torch(version="2.13.0", cuda="12.4"), gpus=2)
    assert state is State.FAULT
    assert "sees none of the driver's 2" in text


@pytest.mark.parametrize(
    ("capability", "architectures", "state"),
    [
        ((9, 0), ("sm_80", "sm_90"), State.OK),
        ((8, 6), ("sm_80", "sm_90"), State.OK),  # of the same generation
        ((8, 0), ("sm_86",), State.FAULT),
        ((12, 0), ("sm_80", "sm_90"), State.FAULT),
        ((12, 0), ("sm_80", "compute_90"), State.OK),  # compiled when it is loaded
        ((9, 0), ("sm_90a",), State.OK),
        ((10, 0), ("sm_90a",), State.FAULT),
        ((6, 1), ("sm_80", "compute_90"), State.FAULT),
    ],
)
def test_a_gpu_that_the_build_has_no_code_for_is_a_fault(
    capability: tuple[int, int], architectures: tuple[str, ...], state: State
) -> None:
    assert verdict(working(capability, *architectures))[0] is state


def test_no_pytorch_is_no_fault_and_a_broken_one_is() -> None:
    assert verdict(None)[0] is State.ABSENT
    state, text = verdict(Torch(error="OSError: libcudart.so.12"))
    assert state is State.FAULT
    assert "libcudart.so.12" in text
