"""What is said when there is no room."""

from __future__ import annotations

import pytest

from tests.unit.core.supervisor.placement.support import (
    GIB,
    Cluster,
    gpu,
    holds,
    machine,
    need,
    processors,
    running,
    worker,
)
from xinfer.core.supervisor.placement import PREFIX
from xinfer.types.deployment import Place
from xinfer.types.device import Holder


def full_node() -> Cluster:
    """One accelerator, of which `big` has 16 GiB and a stranger 2."""
    holders = (holds("big-0", 16), Holder(7, 2 * GIB))
    return Cluster(
        worker("w1", gpu(0, 6, holders=holders), processors(3, 16)),
        replicas=(running("big", "w1", ("cuda:0", 16)),),
    )


def test_it_says_what_is_needed_what_is_free_who_has_the_rest_and_what_would_fit() -> None:
    wanted = need(10, kv=2, overhead=0.5, accelerator=1, uid="qwen")
    assert full_node().refuse(wanted).message == (
        "No available slot found for the model qwen: a replica needs 12.5 GiB (weights 10.0 GiB, "
        "KV cache 2.0 GiB, buffers 512 MiB; 1.0 GiB of buffers on each accelerator). Worker "
        "10.0.0.1:9978: none of its accelerators has enough free (cuda:0 has 6.0 GiB of 24.0 "
        "GiB to give, held: big 16.0 GiB, others 2.0 GiB). It would fit if big were terminated."
    )


def test_it_begins_as_scripts_expect() -> None:
    assert full_node().refuse(need(90)).message.startswith("No available slot found for the model")
    assert PREFIX == "No available slot found for the model"


def test_programs_get_it_worker_by_worker_and_device_by_device() -> None:
    wanted = need(10, kv=2, overhead=0.5, accelerator=1)
    assert full_node().refuse(wanted).details() == {
        "needed": {
            "weights": 10 * GIB,
            "kv_cache": 2 * GIB,
            "overhead": GIB // 2,
            "accelerator_overhead": GIB,
        },
        "workers": [
            {
                "worker": "10.0.0.1:9978",
                "reason": "none of its accelerators has enough free",
                "devices": [
                    {
                        "device": "cuda:0",
                        "name": "GPU",
                        "total": 24 * GIB,
                        "free": 6 * GIB,
                        "available": 6 * GIB,
                        "held_by": [
                            {"model_uid": "big", "replica_id": "big-0", "memory": 16 * GIB}
                        ],
                        "others": 2 * GIB,
                    },
                    {
                        "device": "cpu:0",
                        "name": "CPU",
                        "total": 16 * GIB,
                        "free": 3 * GIB,
                        "available": 3 * GIB,
                        "held_by": [],
                        "others": 13 * GIB,
                    },
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    ("place", "memory", "advice"),
    [
        (Place(n_gpu=1), 100.0, "with n_gpu=2"),
        (Place(gpu_idx=(0,)), 30.0, "without gpu_idx"),
        (Place(worker="10.0.0.2"), 50.0, "without naming the worker"),
        (Place(n_gpu=1), 90.0, "on processors alone (n_gpu null)"),
    ],
)
def test_another_place_that_would_do_is_named(place: Place, memory: float, advice: str) -> None:
    cluster = Cluster(machine("w1", "eight_gpus"), worker("w2", processors(10)))
    assert advice in cluster.refuse(need(memory, place=place)).message


def test_a_cache_that_would_fit_is_named() -> None:
    refusal = Cluster(worker("w1", gpu(0, 12), processors())).refuse(
        need(10, kv=8, accelerator=1, place=Place(n_gpu=1))
    )
    assert "with a KV cache of 1.0 GiB (a smaller context" in refusal.message


def test_without_any_way_out_it_says_what_people_can_do() -> None:
    message = Cluster(worker("w1", processors(1))).refuse(need(500)).message
    assert message.endswith("Terminate models, launch this one in a smaller form, or add a worker.")


def test_a_model_whose_end_would_not_help_is_not_blamed() -> None:
    occupied = (running("small", "w1", ("cuda:0", 1)),)
    cluster = Cluster(
        worker("w1", gpu(0, 23, holders=(holds("small-0", 1),)), processors()), replicas=occupied
    )
    assert "terminated" not in cluster.refuse(need(30)).message


def test_of_many_workers_those_with_the_most_room_are_shown() -> None:
    cluster = Cluster(*(worker(f"w{n}", gpu(0, n, 32), processors(1)) for n in range(9)))
    message = cluster.refuse(need(40)).message
    assert [f"10.0.0.{n}:" in message for n in (8, 7, 6, 5)] == [True, True, True, False]
    assert "6 more workers have no place for it either" in message


def test_a_device_that_does_not_answer_is_shown_with_the_reason() -> None:
    cluster = Cluster(machine("w1", "mixed"))
    refusal = cluster.refuse(need(500, place=Place(n_gpu=1)))
    assert "cuda:3 it does not answer (GPU is lost)" in refusal.message
