"""What the supervisor makes of reports, and what users see of it."""

from __future__ import annotations

import math

import msgspec
import pytest

from tests.unit.core.supervisor.support import (
    CRASH,
    DRAINING,
    ERROR,
    LOADED,
    LOADING,
    PENDING,
    READY,
    RESTARTING,
    TERMINATED,
    World,
    assignment,
    cluster_state,
    deployment,
    replica,
    report,
)
from xinfer.core.supervisor.observed import SlotKey
from xinfer.core.supervisor.state import LogTarget
from xinfer.types.deployment import DeploymentState
from xinfer.types.model import Progress

SLOT = SlotKey("m", 1, 0)


def test_a_first_load_goes_from_pending_to_ready() -> None:
    world = World()
    assert world.status.state is PENDING
    assert world.states == [PENDING]
    world.starts()
    assert world.status.state is PENDING
    assert world.status.replicas[0].replica_id == "r"
    assert world.status.replicas[0].worker == "127.0.0.1:1"
    world.says(world.has(LOADING))
    assert world.status.state is LOADING
    world.says(world.has(READY))
    assert world.status.state is READY
    assert world.status.loaded == LOADED
    assert world.status.replicas[0].created == 7


def test_a_download_is_shown_as_one() -> None:
    world = World()
    given = assignment(world.wanted)
    world.says(replica(given, LOADING, progress=Progress(0.1, "downloading")))
    assert world.status.state is DeploymentState.DOWNLOADING
    assert world.states == [DeploymentState.DOWNLOADING]


def test_one_replica_that_serves_makes_a_deployment_ready() -> None:
    world = World(replicas=2)
    world.says(world.has(READY), world.has(LOADING, "s", 1))
    assert world.status.state is READY
    assert world.states == [READY, LOADING]


def test_a_deployment_that_lost_its_only_replica_is_restarting_until_it_serves_again() -> None:
    world = World()
    world.says(world.has(READY))
    assert world.says(world.has(ERROR)) == ("r",)
    assert world.status.state is RESTARTING
    assert world.states == [RESTARTING]
    assert world.status.failure == CRASH
    assert world.status.loaded == LOADED
    world.starts("r2", restarts=1)
    world.says(world.has(LOADING, "r2", restarts=1))
    assert world.states == [RESTARTING]
    world.says(world.has(READY, "r2", restarts=1))
    assert world.status.state is READY
    assert world.status.replicas[0].restarts == 1


def test_a_first_load_that_failed_once_is_still_pending() -> None:
    world = World()
    world.says(world.has(ERROR))
    assert world.status.state is PENDING
    assert world.status.replicas[0].failure == CRASH


def test_a_replica_that_failed_too_often_is_error_and_keeps_the_last_failure() -> None:
    world = World()
    for attempt in range(3):
        world.starts(f"r{attempt}", restarts=attempt)
        world.says(world.has(ERROR, f"r{attempt}", restarts=attempt))
    assert world.status.state is ERROR
    assert world.states == [ERROR]
    assert world.status.failure == CRASH
    assert world.status.replicas[0].restarts == 2
    assert world.state.has_failed("m")


def test_a_deployment_with_a_replica_that_serves_is_not_error() -> None:
    world = World(replicas=2)
    serving = world.has(READY, "s", 1)
    for attempt in range(3):
        world.says(serving, world.has(ERROR, f"r{attempt}", restarts=attempt))
    assert world.status.state is READY
    assert world.states == [ERROR, READY]
    assert world.status.failure == CRASH


def test_an_end_is_counted_once_though_it_is_reported_again() -> None:
    world = World()
    world.says(world.has(ERROR))
    assert world.says(world.has(ERROR)) == ("r",)
    assert world.failures() == 1
    assert world.says() == ()


def test_a_report_that_comes_late_is_dropped() -> None:
    world = World()
    world.sequence = 5
    world.says(world.has(READY))
    world.sequence = 3
    assert world.says(world.has(ERROR)) == ()
    assert world.status.state is READY


def test_a_replica_that_was_told_to_stop_does_not_count_as_failed() -> None:
    world = World()
    world.says(world.has(READY))
    world.state.begin_stop("r")
    assert world.state.observed(0.0).stops == {"r": math.inf}
    world.says(world.has(ERROR))
    assert world.failures() == 0
    assert world.state.observed(0.0).stops == {}


def test_a_replica_that_left_as_asked_does_not_count_as_failed() -> None:
    world = World()
    world.says(world.has(READY))
    world.says(world.has(TERMINATED))
    assert world.failures() == 0
    assert world.states == [RESTARTING]


def test_a_failure_of_an_earlier_launch_does_not_count() -> None:
    world = World()
    old = world.has(ERROR)
    world.state.put(deployment(generation=2))
    world.says(old)
    assert world.state.statuses()["m"].failure is None


def test_a_start_that_failed_counts_unless_the_slot_is_not_to_blame() -> None:
    world = World()
    world.starts("r1")
    world.state.start_failed("r1", None, 1.0)
    assert world.failures() == 0
    world.starts("r2")
    world.state.start_failed("r2", CRASH, 1.0)
    assert world.failures() == 1
    assert list(world.state.live()) == []


def test_a_start_that_fails_after_it_was_reported_changes_nothing() -> None:
    world = World()
    world.starts()
    world.says(world.has(LOADING))
    world.state.start_failed("r", CRASH, 1.0)
    assert world.failures() == 0
    assert world.status.state is LOADING


def test_a_start_stays_under_way_until_it_is_reported() -> None:
    world = World()
    world.starts()
    world.says()
    assert [each.report.state for each in world.state.live()] == [PENDING]
    world.says(world.has(LOADING))
    assert [each.report.state for each in world.state.live()] == [LOADING]


def test_a_terminated_deployment_drains_and_vanishes_with_its_last_replica() -> None:
    world = World()
    world.says(world.has(READY))
    world.state.remove("m")
    assert world.status.state is DRAINING
    assert world.states == [DRAINING]
    world.says(world.has(TERMINATED))
    assert "m" not in world.state.statuses()


def test_a_new_launch_hides_the_replicas_of_the_one_before() -> None:
    world = World()
    world.says(world.has(READY))
    world.state.put(deployment(generation=2))
    assert world.status.deployment.generation == 2
    assert world.status.state is PENDING
    assert world.status.loaded is None
    assert [each.replica_id for each in world.status.replicas] != ["r"]


def test_the_reason_for_waiting_is_shown() -> None:
    world = World()
    world.state.explain({SLOT: "Waiting for a worker."})
    assert world.status.replicas[0].progress.message == "Waiting for a worker."


@pytest.mark.parametrize("stale_last", [True, False])
def test_of_two_that_serve_in_one_place_the_later_one_is_shown(stale_last: bool) -> None:
    """The other belonged to a worker that was taken for lost, and is about to end."""
    world = World()
    both = [world.has(READY, "new", restarts=1), world.has(READY, "stale")]
    world.says(*(both if stale_last else reversed(both)))
    assert [each.replica_id for each in world.status.replicas] == ["new"]


def test_a_silent_worker_is_lost_with_its_replicas() -> None:
    world = World()
    world.starts("s")
    world.says(world.has(READY), now=5.0)
    assert world.state.workers.next_check(5.0) == 15.0
    assert world.state.expire(14.9) == []
    assert world.state.expire(15.0) == ["127.0.0.1:1"]
    assert world.state.workers.next_check(15.0) is None
    assert world.states == [RESTARTING]
    assert world.failures() == 0
    assert list(world.state.live()) == []
    assert "w1" not in world.state.workers


def test_a_lost_worker_that_reports_again_brings_its_replicas_back() -> None:
    world = World()
    world.says(world.has(READY))
    world.state.lose("w1")
    world.says(world.has(READY))
    assert world.status.state is READY


def test_a_new_worker_at_an_address_replaces_the_one_that_was_there() -> None:
    world = World()
    world.says(world.has(READY))
    world.state.apply(report(worker_id="w2"), 0.0)
    assert world.states == [RESTARTING]
    assert world.takers(0.0) == ("w2",)


def test_a_worker_that_leaves_gets_nothing_and_is_forgotten_when_it_is_empty() -> None:
    world = World()
    world.says(world.has(DRAINING), leaving=True)
    assert world.takers(0.0) == ()
    assert "w1" in world.state.workers
    assert world.says(world.has(TERMINATED), leaving=True) == ("r",)
    assert "w1" not in world.state.workers


def test_a_model_drains_with_its_worker_and_only_then_waits_to_be_started_again() -> None:
    world = World()
    world.says(world.has(READY))
    world.says(world.has(DRAINING), leaving=True)
    assert world.status.state is DRAINING
    world.says(world.has(TERMINATED), leaving=True)
    assert world.status.state is RESTARTING


def test_a_stop_that_failed_is_to_be_repeated() -> None:
    world = World()
    world.says(world.has(READY))
    world.state.begin_stop("r")
    world.state.stop_failed("r", 9.0)
    assert world.state.observed(0.0).stops == {"r": 9.0}
    world.state.stop_failed("unknown", 9.0)
    assert world.state.observed(0.0).stops == {"r": 9.0}


def test_restarts_are_counted_on_from_what_a_worker_brings() -> None:
    world = World()
    world.says(world.has(READY, restarts=4))
    world.says(world.has(ERROR, restarts=4))
    assert world.state.observed(0.0).histories[SLOT].starts == 5


def test_a_snapshot_has_a_new_version_only_when_something_changed() -> None:
    world = World()
    first = world.state.snapshot()
    world.says()
    assert world.state.snapshot() is first
    world.says(world.has(READY))
    second = world.state.snapshot()
    assert second.version == first.version + 1
    assert second.workers == 1
    assert second.epoch == "epoch"
    world.state.draining = True
    third = world.state.snapshot()
    assert third.draining
    assert third.deployments["m"].state is DRAINING


def test_replicas_that_end_while_the_server_stops_do_not_count_as_failed() -> None:
    world = World()
    world.says(world.has(READY))
    world.state.draining = True
    world.says(world.has(ERROR))
    assert world.failures() == 0


@pytest.mark.parametrize(
    ("states", "launching"),
    [((READY, READY), False), ((READY, LOADING), True), ((LOADING, LOADING), True)],
)
def test_a_launch_lasts_until_every_replica_has_been_ready(
    states: tuple[DeploymentState, DeploymentState], launching: bool
) -> None:
    world = World(replicas=2)
    world.says(world.has(states[0]), world.has(states[1], "s", 1))
    assert world.state.is_launching("m") is launching


def test_neither_a_restart_nor_a_failed_launch_is_a_launch() -> None:
    world = World()
    world.says(world.has(READY))
    world.says(world.has(ERROR))
    assert not world.state.is_launching("m")
    world = World()
    for attempt in range(3):
        world.says(world.has(ERROR, f"r{attempt}"))
    assert not world.state.is_launching("m")


def test_logs_are_where_the_newest_replica_of_each_ordinal_was() -> None:
    world = World(replicas=2)
    assert world.state.log_targets("m") == []
    world.says(world.has(READY), world.has(READY, "s", 1))
    world.says(world.has(ERROR), world.has(READY, "s", 1))
    expected = [LogTarget(0, "r", "127.0.0.1:1"), LogTarget(1, "s", "127.0.0.1:1")]
    assert world.state.log_targets("m") == expected
    world.starts("r2")
    assert world.state.log_targets("m")[0].replica_id == "r2"
    world.state.remove("m")
    assert [each.replica_id for each in world.state.log_targets("m")] == ["r2", "s"]


def test_an_ordinal_that_is_wanted_again_begins_anew_under_new_ids() -> None:
    world = World(replicas=2)
    for attempt in range(3):
        world.starts(f"s{attempt}", 1, restarts=attempt)
        world.says(world.has(ERROR, f"s{attempt}", 1, restarts=attempt))
    assert world.states[1] is ERROR
    world.state.put(msgspec.structs.replace(world.wanted, replicas=1))
    world.state.put(world.wanted)
    history = world.state.observed(0.0).histories[SlotKey("m", 1, 1)]
    assert (history.starts, history.failures) == (3, ())
    assert world.states[1] is PENDING


def test_a_replica_that_is_being_told_its_queue_counts_as_told() -> None:
    world = World()
    world.says(world.has(READY))

    def queue() -> tuple[int, int | None]:
        (only,) = world.state.observed(0.0).replicas
        return only.max_queue, only.request_limit

    assert queue() == (1, None)
    world.state.begin_requeue("r", 1, 7)
    assert queue() == (1, 7)
    world.says(world.has(READY))
    assert queue() == (1, 7)
    world.state.requeue_failed("r")
    assert queue() == (1, None)
    world.state.begin_requeue("r", 7, 9)
    told = msgspec.structs.replace(assignment(world.wanted), max_queue=7, request_limit=9)
    world.says(replica(told))
    world.state.requeue_failed("r")
    assert queue() == (7, 9)


def test_a_report_is_taken_in_without_a_look_at_all_that_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There may be ten thousand of them, and a thousand workers that report."""
    state = cluster_state()
    state.put(deployment())
    given = assignment(deployment(), "r")
    state.apply(report(replica(given)), 0.0)
    monkeypatch.setattr(state, "live", lambda: pytest.fail("all that lives was looked at"))
    state.begin_stop("r")
    state.apply(report(replica(given), sequence=2), 1.0)
    state.apply(report(replica(given, TERMINATED), sequence=3), 2.0)
    state.lose("w1")


@pytest.mark.parametrize("state_at_the_end", [TERMINATED, None])
def test_the_calls_about_a_replica_are_forgotten_when_it_has_gone(
    state_at_the_end: DeploymentState | None,
) -> None:
    state = cluster_state()
    state.put(deployment(replicas=2))
    one, two = (assignment(deployment(replicas=2), f"r{n}", ordinal=n) for n in range(2))
    state.apply(report(replica(one), replica(two)), 0.0)
    for replica_id in ("r0", "r1"):
        state.begin_stop(replica_id)
        state.begin_requeue(replica_id, 3)
    left = [replica(one, state_at_the_end)] if state_at_the_end else []
    state.apply(report(*left, replica(two), sequence=2), 1.0)
    assert state.observed(1.0).stops.keys() == {"r1"}
    assert state._queues == {"r1": (3, None)}
    state.lose("w1")
    assert (state.observed(1.0).stops, state._queues) == ({}, {})
