"""A worker leaves: what it runs is started elsewhere, and ends when that serves."""

from __future__ import annotations

import msgspec
import pytest

from tests.unit.core.supervisor.support import (
    CRASH,
    DRAINING,
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
from xinfer.core.supervisor.planner import Plan, Start, Stop, plan
from xinfer.types.deployment import DeploymentState

WANTED = {"m": deployment()}
SLOT = SlotKey("m", 1, 0)


def observed(
    *replicas: tuple[str, str, DeploymentState], workers: tuple[str, ...] = ("stays",)
) -> Observed:
    """Replicas as (id, worker, state), of one slot, in the order of their starts."""
    return Observed(
        workers=tuple(map(observed_worker, workers)),
        leaving=frozenset({"leaves"}),
        replicas=tuple(
            ObservedReplica(replica_id, SLOT, worker, state, starts=number, max_queue=10)
            for number, (replica_id, worker, state) in enumerate(replicas, 1)
        ),
        histories={SLOT: SlotHistory(starts=len(replicas))},
    )


def decide(seen: Observed, now: float = 0.0) -> Plan:
    return plan(WANTED, seen, now, POLICY)


def stopped(planned: Plan) -> list[str]:
    return [action.replica_id for action in planned.actions if isinstance(action, Stop)]


def started_on(planned: Plan) -> list[str]:
    return [action.worker_id for action in planned.actions if isinstance(action, Start)]


def test_a_successor_is_started_elsewhere_while_the_replica_serves_on() -> None:
    planned = decide(observed(("old", "leaves", READY)))
    assert (started_on(planned), stopped(planned)) == (["stays"], [])


def test_nothing_more_is_done_until_the_successor_serves() -> None:
    planned = decide(observed(("old", "leaves", READY), ("new", "stays", PENDING)))
    assert planned.actions == ()


def test_the_replica_ends_once_its_successor_serves() -> None:
    planned = decide(observed(("old", "leaves", READY), ("new", "stays", READY)))
    assert (started_on(planned), stopped(planned)) == ([], ["old"])


def test_a_replica_that_already_drains_has_its_successor_at_once() -> None:
    planned = decide(observed(("old", "leaves", DRAINING)))
    assert (started_on(planned), stopped(planned)) == (["stays"], [])


def test_a_replica_ends_at_once_where_nobody_can_take_its_place() -> None:
    planned = decide(observed(("old", "leaves", READY), workers=()))
    assert stopped(planned) == ["old"]
    assert "Waiting for a worker" in planned.reasons[SLOT]


@pytest.mark.parametrize(("failures", "kept"), [(1, True), (POLICY.limit, False)])
def test_a_replica_serves_on_while_its_successor_is_tried_again(failures: int, kept: bool) -> None:
    history = SlotHistory(starts=2, failures=(FailedStart(0.0, CRASH),) * failures)
    seen = msgspec.structs.replace(observed(("old", "leaves", READY)), histories={SLOT: history})
    planned = decide(seen, now=0.1)
    assert (stopped(planned) == []) is kept
    assert started_on(planned) == []


def test_of_two_that_serve_the_later_one_keeps_the_place() -> None:
    """A worker that was taken for lost is back with what has a successor by now."""
    for names in (("a", "b"), ("b", "a")):
        planned = decide(observed((names[0], "stays", READY), (names[1], "stays", READY)))
        assert stopped(planned) == [names[0]]
