"""Workers: when a silent one is lost, which take replicas, and what is told of them."""

from __future__ import annotations

import msgspec

from tests.unit.core.supervisor.support import (
    LOADING,
    PROCESSORS,
    READY,
    World,
    cluster_state,
    report,
)
from xinfer.types.cluster import NodeUsage, WorkerReport


def test_silence_while_the_supervisor_stood_still_does_not_count() -> None:
    world = World()
    world.state.workers.pardon(100.0)
    assert world.state.expire(105.0) == []
    assert world.state.expire(110.0) == ["127.0.0.1:1"]


def test_a_worker_that_did_not_answer_is_avoided_for_a_while() -> None:
    world = World()
    world.state.workers.avoid("w1", 4.0)
    assert world.takers(3.9) == ()
    assert world.state.workers.next_check(3.9) == 4.0
    assert world.takers(4.0) == ("w1",)
    assert world.state.workers.next_check(4.0) == 10.0


def test_nodes_tell_age_and_usage() -> None:
    state = cluster_state()
    usage = NodeUsage(cpu_count=2, cpu_usage=0.5, memory_total=8, memory_used=3)
    first = WorkerReport(worker_id="w", address="b", version="1", sequence=1, usage=usage)
    state.apply(first, 10.0)
    state.apply(report(worker_id="v", address="a"), 11.0)
    nodes = state.workers.nodes(12.0)
    assert [(node.address, node.age) for node in nodes] == [("a", 1.0), ("b", 2.0)]
    assert (nodes[1].cpu_count, nodes[1].cpu_usage, nodes[1].memory_used) == (2, 0.5, 3)


def three_workers() -> World:
    world = World()
    for number in (2, 3):
        world.state.apply(report(worker_id=f"w{number}", address=f"127.0.0.1:{number}"), 0.0)
    return world


def test_of_many_silent_workers_none_is_lost_and_none_takes_replicas() -> None:
    world = three_workers()
    world.says(now=6.0)
    assert world.takers(10.0) == ("w1",)
    assert world.state.expire(10.0) == []
    assert world.state.workers.silent(10.0) == 2
    assert world.state.workers.next_check(10.0) == 16.0
    assert world.state.expire(59.0) == []
    world.says(now=60.0)
    assert world.state.expire(60.0) == []  # one is heard again: the others may be about to


def test_workers_that_fall_silent_one_after_the_other_are_not_lost_one_after_the_other() -> None:
    world = three_workers()
    world.says(now=15.0)
    assert world.state.expire(10.0) == []
    second = report(worker_id="w2", address="127.0.0.1:2", sequence=2)
    world.state.apply(second, 15.0)
    world.says(now=16.0)
    world.state.apply(report(worker_id="w2", address="127.0.0.1:2", sequence=3), 16.0)
    assert world.state.expire(19.9) == []
    assert world.state.expire(20.0) == ["127.0.0.1:3"]
    assert world.state.expire(26.0) == []  # w1 and w2, soon after w3
    assert world.state.expire(31.0) == []


def test_a_silent_worker_is_lost_when_the_others_are_back() -> None:
    world = three_workers()
    assert world.state.expire(10.0) == []
    world.says(now=11.0)
    world.state.apply(report(worker_id="w2", address="127.0.0.1:2", sequence=2), 11.0)
    assert world.state.expire(11.0) == []  # it has a moment to report, too
    world.says(now=15.0)
    world.state.apply(report(worker_id="w2", address="127.0.0.1:2", sequence=3), 15.0)
    assert world.state.expire(15.9) == []
    assert world.state.expire(16.0) == ["127.0.0.1:3"]


def test_a_worker_that_comes_and_goes_gets_no_new_replica_for_a_while() -> None:
    world = World()
    world.says(world.has(READY))
    assert world.state.expire(10.0) == ["127.0.0.1:1"]
    world.says(world.has(READY), now=12.0)
    assert world.takers(12.0) == ("w1",)
    assert world.state.expire(22.0) == ["127.0.0.1:1"]
    world.says(world.has(READY), now=24.0)
    assert world.states == [READY]
    assert world.takers(33.9) == ()
    world.says(world.has(READY), now=34.0)
    assert world.takers(34.0) == ("w1",)
    # Long after that, it has made up for it.
    assert world.state.expire(90.0) == ["127.0.0.1:1"]
    world.says(world.has(READY), now=91.0)
    assert world.takers(91.0) == ("w1",)


def test_a_new_worker_where_one_was_lost_takes_replicas_at_once() -> None:
    world = World()
    assert world.state.expire(10.0) == ["127.0.0.1:1"]
    world.state.apply(report(worker_id="w2"), 11.0)
    assert world.takers(11.0) == ("w2",)


def test_only_some_reports_are_news() -> None:
    world = World()
    loading = report(world.has(LOADING), sequence=2)
    assert world.state.workers.is_news(loading, 1.0)
    world.state.apply(loading, 1.0)
    device = msgspec.structs.replace(PROCESSORS, memory_free=1)
    assert not world.state.workers.is_news(report(world.has(LOADING), devices=(device,)), 2.0)
    assert world.state.workers.is_news(report(world.has(READY)), 2.0)
    assert world.state.workers.is_news(report(world.has(LOADING), leaving=True), 2.0)
    assert world.state.workers.is_news(report(world.has(LOADING)), 11.0)  # it was silent
    assert world.state.workers.is_news(report(worker_id="w2"), 2.0)
