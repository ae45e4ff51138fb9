"""The plan by property: from any state whatever."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.supervisor.support import (
    BAD_OPTION,
    CRASH,
    DRAINING,
    LOADING,
    PENDING,
    POLICY,
    READY,
    deployment,
)
from xinfer.core.supervisor.planner import (
    FailedStart,
    Observed,
    ObservedReplica,
    Plan,
    SlotHistory,
    SlotKey,
    Start,
    has_given_up,
    plan,
    restart_at,
)
from xinfer.types.deployment import Deployment

NOW = 1000.0

WORKERS = ("w1", "w2", "w3")
Desired = Mapping[str, Deployment]

slots = st.builds(
    SlotKey, uid=st.sampled_from("abc"), generation=st.integers(1, 2), ordinal=st.integers(0, 3)
)


@st.composite
def desires(draw: st.DrawFn) -> Desired:
    wanted = {}
    for uid in draw(st.sets(st.sampled_from("abc"))):
        wanted[uid] = deployment(
            uid, generation=draw(st.integers(1, 2)), replicas=draw(st.integers(1, 4))
        )
    return wanted


@st.composite
def observations(draw: st.DrawFn) -> Observed:
    # A worker that was lost is back at times, so two replicas may share a slot.
    placed = draw(st.lists(st.tuples(slots, st.sampled_from(WORKERS)), max_size=10))
    states = st.sampled_from([PENDING, LOADING, READY, DRAINING])
    replicas = tuple(
        ObservedReplica(f"r{number}", slot, worker, draw(states))
        for number, (slot, worker) in enumerate(placed)
    )
    told = st.sampled_from([NOW - 1, NOW + 5, math.inf])
    stops = {each.replica_id: draw(told) for each in replicas if draw(st.booleans())}
    times = st.lists(st.floats(NOW - 300, NOW), max_size=4).map(sorted)
    failures = st.sampled_from([CRASH, CRASH, BAD_OPTION])
    histories = {}
    for slot in draw(st.sets(slots, max_size=6)):
        past = tuple(FailedStart(at, draw(failures)) for at in draw(times))
        histories[slot] = SlotHistory(starts=len(past), failures=past)
    workers = tuple(sorted(draw(st.sets(st.sampled_from(WORKERS)))))
    return Observed(workers=workers, replicas=replicas, histories=histories, stops=stops)


def applied(observed: Observed, planned: Plan) -> Observed:
    """What is observed once the plan's actions are under way."""
    replicas, histories = list(observed.replicas), dict(observed.histories)
    stops = dict(observed.stops)
    for action in planned.actions:
        if isinstance(action, Start):
            new = ObservedReplica(action.replica_id, action.slot, action.worker_id, PENDING)
            replicas.append(new)
            history = histories.get(action.slot, SlotHistory())
            histories[action.slot] = SlotHistory(history.starts + 1, history.failures)
        else:
            stops[action.replica_id] = math.inf
    return Observed(
        workers=observed.workers, replicas=tuple(replicas), histories=histories, stops=stops
    )


def settled(observed: Observed) -> Observed:
    """What is observed once everything under way has come to its end."""
    gone = {each for each, again in observed.stops.items() if again == math.inf}
    replicas = tuple(
        ObservedReplica(each.replica_id, each.slot, each.worker_id, READY)
        for each in observed.replicas
        if each.replica_id not in gone and each.state is not DRAINING
    )
    living = {each.replica_id for each in replicas}
    return Observed(
        workers=observed.workers,
        replicas=replicas,
        histories=observed.histories,
        stops={each: again for each, again in observed.stops.items() if each in living},
    )


@given(desires(), observations())
def test_planning_again_after_applying_yields_nothing(desired: Desired, observed: Observed) -> None:
    first = plan(desired, observed, NOW, POLICY)
    second = plan(desired, applied(observed, first), NOW, POLICY)
    assert second.actions == ()
    assert second.wake_at == first.wake_at


@given(desires(), observations())
def test_no_replica_is_started_where_one_lives(desired: Desired, observed: Observed) -> None:
    planned = plan(desired, observed, NOW, POLICY)
    occupied = {(each.slot.uid, each.slot.ordinal) for each in observed.replicas}
    started = [each for each in planned.actions if isinstance(each, Start)]
    places = Counter((each.slot.uid, each.slot.ordinal) for each in started)
    assert not occupied & places.keys()
    assert all(count == 1 for count in places.values())
    assert len({each.replica_id for each in started}) == len(started)
    assert all(each.worker_id in observed.workers for each in started)


@given(desires(), observations())
def test_whatever_waits_on_time_is_woken_in_time(desired: Desired, observed: Observed) -> None:
    planned = plan(desired, observed, NOW, POLICY)
    assert planned.wake_at is None or planned.wake_at > NOW
    occupied = {(each.slot.uid, each.slot.ordinal) for each in observed.replicas}
    due = [
        restart_at(history, POLICY)
        for slot, history in observed.histories.items()
        if slot.uid in desired
        and desired[slot.uid].generation == slot.generation
        and slot.ordinal < desired[slot.uid].replicas
        and (slot.uid, slot.ordinal) not in occupied
        and not has_given_up(history, POLICY)
    ]
    due += [
        again
        for replica_id, again in observed.stops.items()
        if any(
            each.replica_id == replica_id and each.state is not DRAINING
            for each in observed.replicas
        )
    ]
    waiting = [at for at in due if NOW < at < math.inf]
    assert planned.wake_at == min(waiting, default=None)


@given(desires(), observations())
def test_every_slot_that_is_missing_is_started_or_has_a_reason(
    desired: Desired, observed: Observed
) -> None:
    planned = plan(desired, observed, NOW, POLICY)
    covered = {each.slot for each in observed.replicas} | set(planned.reasons)
    covered |= {each.slot for each in planned.actions if isinstance(each, Start)}
    wanted = {
        SlotKey(each.uid, each.generation, ordinal)
        for each in desired.values()
        for ordinal in range(each.replicas)
    }
    assert wanted <= covered


@given(desires(), observations())
def test_from_any_state_it_comes_to_what_is_desired(desired: Desired, observed: Observed) -> None:
    now = NOW
    for _ in range(20):
        planned = plan(desired, observed, now, POLICY)
        after = settled(applied(observed, planned))
        if after == observed and planned.wake_at is None:
            break
        observed, now = after, max(now, planned.wake_at or now)
    else:
        raise AssertionError("it does not settle")
    living = Counter(each.slot for each in observed.replicas)
    assert all(count == 1 for count in living.values())
    for slot in living:
        assert desired[slot.uid].generation == slot.generation
        assert slot.ordinal < desired[slot.uid].replicas
    for wanted in desired.values():
        for ordinal in range(wanted.replicas):
            slot = SlotKey(wanted.uid, wanted.generation, ordinal)
            given_up = has_given_up(observed.histories.get(slot, SlotHistory()), POLICY)
            assert slot in living or given_up or not observed.workers
