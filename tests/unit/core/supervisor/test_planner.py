"""The plan by value: each rule on its own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import msgspec
import pytest

from tests.unit.core.supervisor.support import (
    BAD_OPTION,
    CORRUPT,
    CRASH,
    DRAINING,
    GIB,
    LOADING,
    PENDING,
    POLICY,
    READY,
    deployment,
    observed_worker,
)
from xinfer.core.supervisor.observed import (
    FailedStart,
    Observed,
    ObservedReplica,
    SlotHistory,
    SlotKey,
)
from xinfer.core.supervisor.planner import (
    Plan,
    PlanPolicy,
    Requeue,
    Start,
    Stop,
    plan,
    queue_share,
    replica_id,
)
from xinfer.settings import Settings
from xinfer.types.deployment import Deployment, DeploymentState
from xinfer.types.device import DeviceShare
from xinfer.types.failure import Failure
from xinfer.types.model import Memory

NOW = 1000.0


def living(
    replica_id: str, ordinal: int = 0, state: DeploymentState = READY, **slot: object
) -> ObservedReplica:
    uid, generation = str(slot.get("uid", "m")), int(str(slot.get("generation", 1)))
    worker = str(slot.get("worker", "w1"))
    max_queue = int(str(slot.get("max_queue", 10)))
    limit = slot.get("request_limit")
    return ObservedReplica(
        replica_id,
        SlotKey(uid, generation, ordinal),
        worker,
        state,
        max_queue=max_queue,
        request_limit=None if limit is None else int(str(limit)),
    )


def make_plan(
    *wanted: Deployment,
    replicas: tuple[ObservedReplica, ...] = (),
    workers: tuple[str, ...] = ("w1",),
    histories: Mapping[SlotKey, SlotHistory] | None = None,
    stops: Mapping[str, float] | None = None,
    now: float = NOW,
) -> Plan:
    observed = Observed(
        workers=tuple(map(observed_worker, workers)),
        replicas=replicas,
        histories=histories or {},
        stops=stops or {},
    )
    return plan({each.uid: each for each in wanted}, observed, now, POLICY)


def prioritised(wanted: Deployment, priority: int) -> Deployment:
    spec = msgspec.structs.replace(wanted.spec, priority=priority)
    return msgspec.structs.replace(wanted, spec=spec)


def sized(uid: str, gib: int) -> Deployment:
    """One replica that takes so much of the 12 GiB that a worker has."""
    return msgspec.structs.replace(deployment(uid), memory=Memory(weights=gib * GIB))


def failed(*times: float) -> dict[SlotKey, SlotHistory]:
    failures = tuple(FailedStart(at, CRASH) for at in times)
    return {SlotKey("m", 1, 0): SlotHistory(starts=len(times), failures=failures)}


def starts(planned: Plan) -> list[Start]:
    return [each for each in planned.actions if isinstance(each, Start)]


def stopped(planned: Plan) -> list[str]:
    return [each.replica_id for each in planned.actions if isinstance(each, Stop)]


def test_nothing_is_done_for_nothing() -> None:
    assert make_plan() == Plan(actions=(), reasons={}, wake_at=None)


def test_missing_replicas_are_started_and_spread_over_workers() -> None:
    planned = make_plan(deployment(replicas=4), workers=("w1", "w2"))
    assert [each.worker_id for each in starts(planned)] == ["w1", "w2", "w1", "w2"]
    assert [each.slot.ordinal for each in starts(planned)] == [0, 1, 2, 3]
    assert [each.restarts for each in starts(planned)] == [0, 0, 0, 0]
    assert planned.wake_at is None


def test_a_replica_goes_where_its_model_is_least_then_where_least_is() -> None:
    busy = (living("a", 0, uid="other", worker="w1"), living("b", 1, uid="other", worker="w1"))
    others = deployment("other", replicas=2)
    assert starts(make_plan(others, deployment(), replicas=busy, workers=("w1", "w2")))[
        0
    ].worker_id == ("w2")
    spread = (*busy, living("c", 0, worker="w2"))
    planned = make_plan(others, deployment(replicas=2), replicas=spread, workers=("w1", "w2"))
    assert starts(planned)[0].worker_id == "w1"


@pytest.mark.parametrize("state", [PENDING, LOADING, READY, DRAINING])
def test_a_slot_with_a_living_replica_gets_no_other(state: DeploymentState) -> None:
    assert make_plan(deployment(), replicas=(living("r", state=state),)).actions == ()


def test_without_a_worker_it_waits_and_says_so() -> None:
    planned = make_plan(deployment(), workers=())
    assert planned.actions == ()
    assert planned.wake_at is None
    assert "Waiting for a worker" in planned.reasons[SlotKey("m", 1, 0)]


@pytest.mark.parametrize(("failures", "wait"), [(1, 1.0), (2, 2.0)])
def test_a_failed_replica_is_restarted_after_a_wait_that_doubles(
    failures: int, wait: float
) -> None:
    histories = failed(*[NOW - 1 + n for n in range(failures)])
    last = NOW - 2 + failures
    early = make_plan(deployment(), histories=histories, now=last + wait - 0.1)
    assert early.actions == ()
    assert early.wake_at == last + wait
    assert f"starting again after {wait:g} s" in early.reasons[SlotKey("m", 1, 0)]
    due = make_plan(deployment(), histories=histories, now=last + wait)
    assert [each.restarts for each in starts(due)] == [failures]


def test_the_wait_has_a_limit() -> None:
    policy = PlanPolicy(epoch="e", backoff=1.0, backoff_max=5.0, limit=99, window=1e9)
    observed = Observed(workers=(observed_worker("w1"),), histories=failed(*map(float, range(50))))
    assert plan({"m": deployment()}, observed, 49.5, policy).wake_at == 49.0 + 5.0


def test_it_gives_up_after_as_many_failures_as_the_limit_within_the_window() -> None:
    planned = make_plan(deployment(), histories=failed(NOW - 99, NOW - 50, NOW), now=NOW + 1e6)
    assert planned.actions == ()
    assert planned.wake_at is None
    assert planned.reasons[SlotKey("m", 1, 0)] == "Failed; not started again."


def test_failures_outside_the_window_do_not_count() -> None:
    planned = make_plan(deployment(), histories=failed(NOW - 101, NOW - 50, NOW), now=NOW + 2)
    assert len(starts(planned)) == 1


@pytest.mark.parametrize("failure", [BAD_OPTION, CORRUPT], ids=["kind", "code"])
def test_what_would_fail_again_is_not_tried_again(failure: Failure) -> None:
    slot = SlotKey("m", 1, 0)
    history = SlotHistory(starts=1, failures=(FailedStart(NOW, failure),))
    planned = make_plan(deployment(), histories={slot: history}, now=NOW + 1e6)
    assert planned.actions == ()
    assert planned.wake_at is None


def test_a_new_generation_starts_with_a_clean_history() -> None:
    planned = make_plan(deployment(generation=2), histories=failed(NOW, NOW, NOW))
    assert len(starts(planned)) == 1


def test_replicas_nobody_wants_are_stopped() -> None:
    replicas = (
        living("kept"),
        living("gone", uid="terminated"),
        living("stale", 1, generation=0),
        living("surplus", 2),
    )
    planned = make_plan(deployment(replicas=2), replicas=replicas)
    assert stopped(planned) == ["surplus", "stale", "gone"]
    reasons = [each.reason for each in planned.actions if isinstance(each, Stop)]
    assert reasons == [
        "its model has fewer replicas now",
        "its model was launched anew",
        "its model was terminated",
    ]


def test_a_slot_is_filled_only_when_the_replica_of_an_earlier_launch_has_left() -> None:
    stale = living("stale", generation=0)
    planned = make_plan(deployment(), replicas=(stale,))
    assert stopped(planned) == ["stale"]
    assert starts(planned) == []
    assert "earlier launch" in planned.reasons[SlotKey("m", 1, 0)]
    assert len(starts(make_plan(deployment()))) == 1


def test_of_two_in_one_slot_the_one_that_serves_stays() -> None:
    pair = (living("new", state=LOADING, worker="w2"), living("old", worker="w1"))
    assert stopped(make_plan(deployment(), replicas=pair, workers=("w1", "w2"))) == ["new"]


def test_running_replicas_are_told_their_share_when_it_is_another() -> None:
    replicas = (living("a", 0), living("b", 1, LOADING, max_queue=4), living("c", 2, PENDING))
    planned = make_plan(deployment(replicas=3, max_queue=10), replicas=replicas)
    assert planned.actions == (
        Requeue(replica_id="a", worker_id="w1", max_queue=4),
        Requeue(replica_id="b", worker_id="w1", max_queue=3),
    )
    stopping = (living("a", 0, DRAINING),)
    assert make_plan(deployment(max_queue=3), replicas=stopping).actions == ()


def test_running_replicas_are_told_their_share_of_a_limit_when_it_is_another() -> None:
    wanted = msgspec.structs.replace(deployment(replicas=2, max_queue=20), request_limits=3)
    limited = (living("a", 0), living("b", 1, request_limit=1))
    assert make_plan(wanted, replicas=limited).actions == (
        Requeue(replica_id="a", worker_id="w1", max_queue=10, request_limit=2),
    )
    lifted = make_plan(deployment(replicas=2, max_queue=20), replicas=limited)
    assert lifted.actions == (Requeue(replica_id="b", worker_id="w1", max_queue=10),)


@pytest.mark.parametrize(("limit", "replicas"), [(10, 3), (1, 2), (7, 7), (None, 2)])
def test_the_shares_of_a_limit_sum_to_the_deployments(limit: int | None, replicas: int) -> None:
    wanted = msgspec.structs.replace(deployment(replicas=replicas), request_limits=limit)
    started = [each.request_limit for each in starts(make_plan(wanted, workers=("w1", "w2")))]
    if limit is None:
        assert started == [None] * replicas
    else:
        shares = [each or 0 for each in started]
        assert (len(shares), sum(shares), max(shares) - min(shares) <= 1) == (replicas, limit, True)


def test_a_model_that_shrinks_loses_the_replicas_that_came_last() -> None:
    replicas = tuple(living(f"r{n}", n, max_queue=5) for n in range(4))
    assert stopped(make_plan(deployment(replicas=2), replicas=replicas)) == ["r3", "r2"]


def test_a_replica_that_was_removed_leaves_the_numbers_of_the_others() -> None:
    wanted = msgspec.structs.replace(deployment(replicas=2, max_queue=5), removed=(1,))
    assert wanted.ordinals == (0, 2)
    there = tuple(living(f"r{number}", number) for number in range(3))
    planned = make_plan(wanted, replicas=there)
    assert stopped(planned) == ["r1"]
    told = {
        each.replica_id: each.max_queue for each in planned.actions if isinstance(each, Requeue)
    }
    assert told == {"r0": 3, "r2": 2}


@pytest.mark.parametrize("state", [PENDING, LOADING])
def test_no_more_replicas_load_on_a_worker_than_the_limit(state: DeploymentState) -> None:
    wanted = deployment(replicas=12)
    planned = make_plan(wanted, workers=("w1", "w2"))
    assert Counter(each.worker_id for each in starts(planned)) == {"w1": 5, "w2": 5}
    assert planned.reasons[SlotKey("m", 1, 11)] == (
        "Waiting for its turn: 5 replicas of this and other models load on worker w2:1 "
        "(XINFERENCE_MAX_CONCURRENT_LAUNCHES)."
    )
    assert not planned.refusals
    busy = tuple(living(f"r{n}", n, state) for n in range(4))
    assert len(starts(make_plan(wanted, replicas=busy))) == 1


def test_replicas_that_serve_do_not_count_as_loading() -> None:
    ready = tuple(living(f"r{n}", n) for n in range(7))
    assert len(starts(make_plan(deployment(replicas=12), replicas=ready))) == 5


def test_a_larger_priority_starts_first_whenever_it_was_launched() -> None:
    old = deployment("old", replicas=4, created=1)
    new = prioritised(deployment("new", replicas=4, created=2), 1)
    planned = make_plan(old, new)
    assert [each.slot.uid for each in starts(planned)] == ["new"] * 4 + ["old"]


def test_where_room_is_short_a_larger_priority_has_it() -> None:
    plain, urgent = sized("a", 8), prioritised(sized("b", 8), 1)
    planned = make_plan(plain, urgent)
    assert [each.slot.uid for each in starts(planned)] == ["b"]
    assert list(planned.refusals) == [SlotKey("a", 1, 0)]


def test_what_runs_stays_whatever_the_priority_of_what_finds_no_room() -> None:
    plain, urgent = sized("a", 8), prioritised(sized("b", 8), 9)
    runs = ObservedReplica(
        "r", SlotKey("a", 1, 0), "w1", READY, (DeviceShare("cpu", 0, 8 * GIB),), max_queue=10
    )
    planned = make_plan(plain, urgent, replicas=(runs,))
    assert planned.actions == ()
    assert list(planned.refusals) == [SlotKey("b", 1, 0)]


def test_what_waits_to_be_started_again_keeps_its_room() -> None:
    crashed, later = sized("m", 8), sized("n", 8)
    planned = make_plan(crashed, later, histories=failed(NOW - 0.5))
    assert planned.actions == ()
    assert list(planned.refusals) == [SlotKey("n", 1, 0)]
    assert [each.slot.uid for each in starts(make_plan(crashed, later))] == ["m"]


def test_a_replica_that_was_told_is_not_told_again() -> None:
    gone = living("gone", uid="terminated")
    assert make_plan(replicas=(gone,), stops={"gone": math.inf}).actions == ()
    assert make_plan(replicas=(living("r", uid="x", state=DRAINING),)).actions == ()


def test_a_stop_that_failed_is_repeated_when_it_is_due() -> None:
    gone = living("gone", uid="terminated")
    waiting = make_plan(replicas=(gone,), stops={"gone": NOW + 1})
    assert waiting.actions == ()
    assert waiting.wake_at == NOW + 1
    assert stopped(make_plan(replicas=(gone,), stops={"gone": NOW})) == ["gone"]


@pytest.mark.parametrize(("max_queue", "replicas"), [(10, 3), (0, 2), (1, 4), (7, 7), (100, 1)])
def test_the_shares_of_the_queue_sum_to_the_deployments(max_queue: int, replicas: int) -> None:
    wanted = deployment(replicas=replicas, max_queue=max_queue)
    shares = [queue_share(wanted, ordinal) for ordinal in range(replicas)]
    assert sum(shares) == max_queue
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - shares[-1] <= 1
    planned = make_plan(wanted, workers=("w1", "w2"))
    assert [each.max_queue for each in starts(planned)] == shares


def test_a_replica_id_is_the_same_for_the_same_attempt_alone() -> None:
    slot = SlotKey("m", 1, 0)
    assert replica_id(slot, 0, "e") == replica_id(slot, 0, "e")
    others = {
        replica_id(slot, 0, "e"),
        replica_id(slot, 1, "e"),
        replica_id(slot, 0, "f"),
        replica_id(SlotKey("m", 2, 0), 0, "e"),
        replica_id(SlotKey("m", 1, 1), 0, "e"),
    }
    assert len(others) == 5
    assert replica_id(slot, 0, "e").startswith("m-0-")


def test_the_policy_is_that_of_the_settings() -> None:
    settings = Settings(
        restart_backoff=1.5, restart_backoff_max=7.0, restart_limit=2, restart_window=3.0
    )
    assert PlanPolicy.of(settings, "e") == PlanPolicy(
        epoch="e", backoff=1.5, backoff_max=7.0, limit=2, window=3.0
    )
