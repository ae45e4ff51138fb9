"""Where replicas go: what fits, what is asked for, and which of several ways is taken."""

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
from xinfer.core.supervisor.observed import ObservedWorker
from xinfer.core.supervisor.placement import Placed
from xinfer.types.deployment import Place
from xinfer.types.device import DeviceShare

# Memory


def test_several_models_share_a_device_as_long_as_they_fit() -> None:
    cluster = Cluster(worker("w1", gpu(0, 24), processors()))
    assert cluster.place(need(10, uid="a")) == "w1 cuda:0"
    assert cluster.place(need(10, uid="b")) == "w1 cuda:0"
    cluster.refuse(need(10, uid="c"))
    assert cluster.place(need(4, uid="d")) == "w1 cuda:0"


def test_what_others_hold_is_not_free() -> None:
    cluster = Cluster(machine("w1", "one_gpu"))  # 20.96 GiB of 24 are free
    cluster.refuse(need(21))
    assert cluster.place(need(20.9)) == "w1 cuda:0"


@pytest.mark.parametrize(
    ("held", "free", "fits"),
    [
        (None, 24, 8),  # it loads: nothing of its 16 is there yet
        (4, 20, 8),  # a quarter of them is
        (16, 8, 8),  # all is
        (20, 4, 4),  # more than was expected
    ],
)
def test_a_replica_has_what_it_was_given_or_what_it_holds_whichever_is_more(
    held: float | None, free: float, fits: float
) -> None:
    holders = () if held is None else (holds("a-0", held),)
    there = worker("w1", gpu(0, free, holders=holders), processors())
    occupied = (running("a", "w1", ("cuda:0", 16)),)
    Cluster(there, replicas=occupied).refuse(need(fits + 0.1))
    assert Cluster(there, replicas=occupied).place(need(fits)) == "w1 cuda:0"


def test_each_accelerator_pays_for_its_driver_and_processors_for_their_buffers() -> None:
    wanted = need(20, kv=2, overhead=1, accelerator=2, divides=True)
    chosen = Cluster(worker("w1", gpu(0, 24), processors())).choose(wanted)
    assert isinstance(chosen, Placed)
    assert chosen.devices == (DeviceShare("cuda", 0, 24 * GIB),)
    chosen = Cluster(worker("w1", gpu(0, 20), gpu(1, 20), processors())).choose(wanted)
    assert isinstance(chosen, Placed)
    assert chosen.devices == (DeviceShare("cuda", 0, 13 * GIB), DeviceShare("cuda", 1, 13 * GIB))
    chosen = Cluster(worker("w1", processors())).choose(wanted)
    assert isinstance(chosen, Placed)
    assert chosen.devices == (DeviceShare("cpu", 0, 23 * GIB),)


def test_what_needs_nothing_fits_where_nothing_is_free() -> None:
    cluster = Cluster(
        worker("w1", processors(0.001, 1)), replicas=(running("a", "w1", ("cpu:0", 5)),)
    )
    assert cluster.place(need(0, engine="echo")) == "w1 cpu:0"
    cluster.refuse(need(0.01, engine="echo"))


def test_an_accelerator_in_main_memory_shares_it_with_the_processors() -> None:
    metal = gpu(0, 40, 48, kind="metal", unified=True)
    there = worker("w1", metal, processors(30, 64), engines={"gguf": ("metal",)})
    Cluster(there).refuse(need(31))
    cluster = Cluster(there)
    assert cluster.place(need(20)) == "w1 metal:0"
    cluster.refuse(need(11, uid="b", place=Place(n_gpu=None)))
    assert cluster.place(need(10, uid="b", place=Place(n_gpu=None))) == "w1 cpu:0"
    cluster.refuse(need(1, uid="c"))


def test_nothing_is_placed_on_a_device_that_does_not_answer() -> None:
    cluster = Cluster(machine("w1", "mixed"))
    for _ in range(3):
        assert cluster.place(need(1)) != "w1 cuda:3"
    refusal = cluster.refuse(need(1, place=Place(gpu_idx=(3,))))
    assert "not enough is free on cuda:3" in refusal.message


# What is asked for


def test_auto_takes_one_accelerator_then_the_fewest_that_hold_it_then_main_memory_too() -> None:
    there = machine("w1", "eight_gpus")  # cuda:0 has 15.6 GiB free, the others 79 each
    flexible = {"divides": True, "spills": True}
    assert Cluster(there).place(need(79, **flexible)) == "w1 cuda:1"
    assert Cluster(there).place(need(80, **flexible)) == "w1 cuda:1 cuda:2"
    assert Cluster(there).place(need(200, **flexible)) == "w1 cuda:1 cuda:2 cuda:3"
    everything = " ".join(f"cuda:{n}" for n in range(8))
    assert Cluster(there).place(need(600, **flexible)) == f"w1 {everything} cpu:0"
    Cluster(there).refuse(need(700, **flexible))


def test_a_model_that_cannot_be_divided_is_not() -> None:
    there = machine("w1", "eight_gpus")
    Cluster(there).refuse(need(80, spills=False))
    assert Cluster(there).place(need(80, spills=True)).endswith("cpu:0")


def test_auto_on_a_node_or_an_engine_without_accelerators_is_main_memory() -> None:
    assert Cluster(machine("w1", "no_gpu")).place(need(90)) == "w1 cpu:0"
    assert Cluster(machine("w1", "broken_driver")).place(need(90)) == "w1 cpu:0"
    assert Cluster(machine("w1", "one_gpu")).place(need(1, engine="cpu-only")) == "w1 cpu:0"
    assert Cluster(machine("w1", "one_gpu")).place(need(1, processors_only=True)) == "w1 cpu:0"


def test_an_engine_that_needs_an_accelerator_does_not_fall_back_to_processors() -> None:
    refusal = Cluster(machine("w1", "one_gpu")).refuse(need(30, engine="torch"))
    assert "on processors alone (n_gpu null)" in refusal.message


def test_a_node_with_a_free_accelerator_is_better_than_one_without() -> None:
    cluster = Cluster(
        worker("w1", processors()),
        worker("w2", gpu(0, 9), processors()),
        replicas=(running("m", "w2", ("cuda:0", 1)),),
    )
    assert cluster.place(need(5)) == "w2 cuda:0"
    assert cluster.place(need(5)) == "w1 cpu:0"


def test_n_gpu_is_that_many_accelerators_of_one_worker() -> None:
    there = [machine("w1", "mixed"), machine("w2", "eight_gpus")]
    four = need(100, place=Place(n_gpu=4))
    assert Cluster(*there).place(four) == "w2 cuda:1 cuda:2 cuda:3 cuda:4"
    eight = Cluster(*there).place(need(8, place=Place(n_gpu=8)))
    assert eight == "w2 " + " ".join(f"cuda:{n}" for n in range(8))
    refusal = Cluster(*there).refuse(need(1, place=Place(n_gpu=9)))
    assert "it has only 8 that gguf can use, and 9 are asked for" in refusal.message


def test_accelerators_of_one_replica_are_of_one_kind() -> None:
    there = worker("w1", gpu(0), gpu(0, kind="rocm"), gpu(1, kind="rocm"), processors())
    assert Cluster(there).place(need(4, place=Place(n_gpu=2))) == "w1 rocm:0 rocm:1"
    Cluster(there).refuse(need(4, place=Place(n_gpu=3)))


def test_n_gpu_null_is_main_memory_whatever_there_is() -> None:
    assert Cluster(machine("w1", "eight_gpus")).place(need(9, place=Place(n_gpu=None))) == (
        "w1 cpu:0"
    )


def test_n_gpu_on_a_node_whose_engine_cannot_use_its_gpus_says_so() -> None:
    amd = worker("w1", gpu(0, kind="rocm"), processors())
    refusal = Cluster(amd).refuse(need(1, engine="torch", place=Place(n_gpu=1)))
    assert "torch as installed there cannot compute on its rocm devices" in refusal.message
    refusal = Cluster(machine("w1", "no_gpu")).refuse(need(1, place=Place(n_gpu=1)))
    assert "it has no accelerator that gguf can use" in refusal.message


def test_gpu_idx_is_exactly_these_as_long_as_it_fits() -> None:
    there = machine("w1", "eight_gpus")
    chosen = need(60, place=Place(gpu_idx=(5, 2)))
    assert Cluster(there).place(chosen) == "w1 cuda:5 cuda:2"
    refusal = Cluster(there).refuse(need(20, place=Place(gpu_idx=(0,))))
    assert "not enough is free on cuda:0" in refusal.message
    refusal = Cluster(there).refuse(need(1, place=Place(gpu_idx=(8,))))
    assert "it has no devices 8 that gguf can use" in refusal.message


@pytest.mark.parametrize("name", ["10.0.0.2:9978", "10.0.0.2"])
def test_a_worker_is_named_by_address_or_host(name: str) -> None:
    cluster = Cluster(worker("w1", gpu(0), processors()), worker("w2", processors(1)))
    assert cluster.place(need(0.5, place=Place(worker=name))) == "w2 cpu:0"
    refusal = cluster.refuse(need(9, place=Place(worker=name)))
    assert f"the launch asks for worker {name}" in refusal.message


def test_an_engine_has_to_be_installed_where_it_runs() -> None:
    cluster = Cluster(worker("w1", processors(), engines={"echo": ()}), worker("w2", processors(1)))
    assert cluster.place(need(0.5)) == "w2 cpu:0"
    assert "engine gguf is not installed there" in cluster.refuse(need(2)).message


def test_a_worker_that_has_told_nothing_gets_nothing() -> None:
    assert "it has told of no device" in Cluster(worker("w1")).refuse(need(0)).message


# Exclusive accelerators


def test_by_the_old_rule_a_model_has_its_accelerators_for_itself() -> None:
    cluster = Cluster(worker("w1", gpu(0), gpu(1), processors()), share=False)
    assert cluster.place(need(1, uid="a")) == "w1 cuda:0"
    assert cluster.place(need(1, uid="b", model_type="image")) == "w1 cuda:1"
    refusal = cluster.refuse(need(1, uid="c", model_type="audio"))
    assert "another model has each of its accelerators for itself" in refusal.message
    for uid, kind in (("d", "embedding"), ("e", "rerank")):
        assert cluster.place(need(1, uid=uid, model_type=kind)).startswith("w1 cuda:")
    assert cluster.place(need(1, uid="f", place=Place(gpu_idx=(0,)))) == "w1 cuda:0"
    assert cluster.place(need(1, uid="g", place=Place(n_gpu=None))) == "w1 cpu:0"


def test_by_the_old_rule_models_that_share_leave_an_accelerator_to_others() -> None:
    cluster = Cluster(worker("w1", gpu(0), processors()), share=False)
    assert cluster.place(need(1, uid="a", model_type="embedding")) == "w1 cuda:0"
    assert cluster.place(need(1, uid="b")) == "w1 cuda:0"


def test_a_model_that_runs_already_has_its_accelerator_for_itself_too() -> None:
    there = worker("w1", gpu(0), gpu(1, 4), processors())
    occupied = (running("a", "w1", ("cuda:0", 1)),)
    assert Cluster(there, replicas=occupied, share=False).place(need(1)) == "w1 cuda:1"
    assert Cluster(there, replicas=occupied, share=True).place(need(1)) == "w1 cuda:0"


# Spread and pack


def two_nodes() -> list[ObservedWorker]:
    return [
        worker("w1", gpu(0, 20), gpu(1, 10), processors()),
        worker("w2", gpu(0, 24), processors()),
    ]


def test_spread_keeps_replicas_of_a_model_apart_then_takes_the_emptiest() -> None:
    cluster = Cluster(*two_nodes())
    assert cluster.place(need(4)) == "w2 cuda:0"
    assert cluster.place(need(4)) == "w1 cuda:0"
    assert cluster.place(need(4, uid="other")) == "w1 cuda:0"
    assert cluster.place(need(4, uid="other")) == "w2 cuda:0"


def test_a_node_with_more_devices_gets_more_models() -> None:
    big, small = machine("w1", "eight_gpus"), worker("w2", gpu(0, 80, 80), processors())
    cluster = Cluster(big, small)
    places = [cluster.place(need(2, uid=f"m{n}")).split()[0] for n in range(9)]
    assert places.count("w1") == 8


def test_pack_fills_the_device_with_the_least_room_that_is_enough() -> None:
    cluster = Cluster(*two_nodes(), pack=True)
    assert cluster.place(need(4)) == "w1 cuda:1"
    assert cluster.place(need(4)) == "w1 cuda:1"
    assert cluster.place(need(4)) == "w1 cuda:0"
    assert cluster.place(need(24)) == "w2 cuda:0"


def test_pack_goes_on_packing_after_another_model_was_placed() -> None:
    cluster = Cluster(*two_nodes(), pack=True)
    first, second = need(3, uid="a"), need(12, uid="b")
    assert [cluster.place(each) for each in (first, second, first, second)] == [
        "w1 cuda:1",
        "w1 cuda:0",
        "w1 cuda:1",
        "w2 cuda:0",
    ]


def test_a_placement_says_why() -> None:
    chosen = Cluster(*two_nodes()).choose(need(4))
    assert isinstance(chosen, Placed)
    assert chosen.reason == (
        "cuda:0 of 10.0.0.2:9978: 0 others of this model there, 0 replicas there in all, "
        "20.0 GiB of 24.0 GiB left then"
    )


def test_replicas_of_workers_that_take_none_do_not_count() -> None:
    cluster = Cluster(worker("w1", processors()), replicas=(running("m", "gone", ("cpu:0", 1)),))
    assert cluster.place(need(1)) == "w1 cpu:0"


def test_processes_of_one_replica_count_together() -> None:
    holders = (holds("a-0", 4, pid=1), holds("a-0", 10, pid=2), holds("a-0", 2, pid=3))
    there = worker("w1", gpu(0, 8, holders=holders), processors())
    occupied = (running("a", "w1", ("cuda:0", 16)),)
    assert Cluster(there, replicas=occupied).place(need(8)) == "w1 cuda:0"


def test_in_a_large_cluster_replicas_are_spread_over_all_workers() -> None:
    cluster = Cluster(*(worker(f"w{n:03}", gpu(0), processors()) for n in range(250)))
    places = {cluster.place(need(1)) for _ in range(250)}
    assert len(places) == 250


def test_in_a_large_cluster_the_only_accelerator_is_found() -> None:
    workers = [worker(f"w{n:03}", processors()) for n in range(250)]
    cluster = Cluster(*workers, worker("w999", gpu(0), processors()))
    assert cluster.place(need(1)) == "w999 cuda:0"
