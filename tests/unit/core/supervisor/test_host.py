"""What the workers have, as the choice of a form sees it."""

from __future__ import annotations

import pytest

from xinfer.core.supervisor.host import host_of
from xinfer.core.supervisor.observed import ObservedWorker
from xinfer.types.deployment import LaunchSpec
from xinfer.types.device import CPU, Device


def gpu(index: int, free: int, kind: str = "cuda", problem: str = "") -> Device:
    return Device(kind=kind, index=index, name="GPU", memory_free=free, problem=problem)


def memory(free: int) -> Device:
    return Device(kind=CPU, index=0, name="CPU", memory_free=free)


WORKERS = [
    ObservedWorker("w1", "a:1", (gpu(0, 10), gpu(1, 20), memory(5)), {"e": ("cuda",)}),
    ObservedWorker("w2", "b:1", (gpu(0, 25), gpu(1, 90, problem="hangs"), memory(7)), {"e": ()}),
    ObservedWorker("w3", "c:1", (gpu(0, 40, "rocm"), memory(6)), {"f": ("rocm",)}),
]


@pytest.mark.parametrize(
    ("fields", "cuda"),
    [
        ({}, (20, 10)),
        ({"n_gpu": 1}, (25,)),
        ({"n_gpu": 2}, (20, 10)),
        ({"gpu_idx": (0,)}, (25,)),
        ({"gpu_idx": (1,)}, (20,)),
    ],
)
def test_the_most_that_one_worker_can_give_this_launch(
    fields: dict[str, object], cuda: tuple[int, ...]
) -> None:
    host = host_of(WORKERS, LaunchSpec(model_name="m", **fields))  # type: ignore[arg-type]
    assert host.accelerators["cuda"] == cuda
    assert host.memory == 7
    assert host.engines == {"e": {"cuda"}, "f": {"rocm"}}


def test_a_launch_for_processors_has_no_accelerators() -> None:
    assert host_of(WORKERS, LaunchSpec(model_name="m", n_gpu=None)).accelerators == {}


def test_without_workers_nothing_is_known() -> None:
    host = host_of([], LaunchSpec(model_name="m"))
    assert (host.memory, host.accelerators, host.engines) == (None, {}, {})
