"""The plan by property: from any state whatever."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.core.supervisor.support import (
    BAD_OPTION,
    CRASH,
    DRAINING,
    GIB,
    LOADING,
    PENDING,
    POLICY,
    PROCESSORS,
    READY,
    deployment,
)
from xinfer.core.supervisor.observed import (
    FailedStart,
    Observed,
    ObservedReplica,
    ObservedWorker,
    SlotHistory,
    SlotKey,
)
from xinfer.core.supervisor.placement import PlacementPolicy
from xinfer.core.supervisor.planner import (
    Plan,
    PlanPolicy,
    Requeue,
    Start,
    has_given_up,
    plan,
    restart_at,
)
from xinfer.types.deployment import Deployment, Place
from xinfer.types.device import Device, DeviceShare
from xinfer.types.model import Memory

NOW = 1000.0

WORKERS = ("w1", "w2", "w3")
Desired = Mapping[str, Deployment]

shares = st.sampled_from(
    [
        (),
        (DeviceShare("cpu", 0, GIB),),
        (DeviceShare("cuda", 0, 3 * GIB),),
        (DeviceShare("cuda", 0, GIB), DeviceShare("cuda", 1, GIB), DeviceShare("cpu", 0, GIB)),
    ]
)
slots = st.builds(
    SlotKey, uid=st.sampled_from("abc"), generation=st.integers(1, 2), ordinal=st.integers(0, 3)
)


sizes = st.integers(0, 6).map(lambda gib: gib * GIB)
labels: st.SearchStrategy[dict[str, str]] = st.sampled_from([{}, {}, {"rack": "1"}])
policies = st.builds(
    lambda launches, pack: msgspec.structs.replace(
        POLICY, launches=launches, placement=PlacementPolicy(pack=pack)
    ),
    st.integers(1, 3),
    st.booleans(),
)
n_gpus: st.SearchStrategy[int | str | None] = st.sampled_from(["auto", "auto", None, 1, 2])


@st.composite
def desires(draw: st.DrawFn) -> Desired:
    wanted = {}
    for uid in draw(st.sets(st.sampled_from("abc"))):
        made = deployment(uid, generation=draw(st.integers(1, 2)), replicas=draw(st.integers(1, 4)))
        memory = Memory(
            weights=draw(sizes),
            accelerator_overhead=GIB // 4,
            divides=draw(st.booleans()),
            spills=draw(st.booleans()),
        )
        place = Place(n_gpu=draw(n_gpus), worker=draw(st.sampled_from(["", "", "w1"])), gpu_idx=())
        spec = msgspec.structs.replace(
            made.spec, priority=draw(st.integers(-1, 1)), worker_labels=draw(labels)
        )
        removed = tuple(sorted(draw(st.sets(st.integers(0, made.replicas - 1), max_size=1))))
        wanted[uid] = msgspec.structs.replace(
            made,
            memory=memory,
            places=(place,),
            spec=spec,
            removed=removed,
            request_limits=draw(st.sampled_from([None, 1, 7])),
        )
    return wanted


@st.composite
def machines(draw: st.DrawFn) -> tuple[Device, ...]:
    """Up to two accelerators beside the processors, with more or less of them free."""
    accelerators = tuple(
        Device(
            kind="cuda",
            index=index,
            name="GPU",
            memory_total=8 * GIB,
            memory_free=draw(st.integers(0, 8)) * GIB,
        )
        for index in range(draw(st.integers(0, 2)))
    )
    return (*accelerators, PROCESSORS)


@st.composite
def observations(draw: st.DrawFn) -> Observed:
    # A worker that was lost is back at times, so two replicas may share a slot.
    placed = draw(st.lists(st.tuples(slots, st.sampled_from(WORKERS)), max_size=10))
    states = st.sampled_from([PENDING, LOADING, READY, DRAINING])
    replicas = tuple(
        ObservedReplica(f"r{number}", slot, worker, draw(states), draw(shares))
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
    workers = tuple(
        ObservedWorker(
            worker_id, f"{worker_id}:1", draw(machines()), {"echo": ("cuda",)}, draw(labels)
        )
        for worker_id in sorted(draw(st.sets(st.sampled_from(WORKERS))))
    )
    return Observed(workers=workers, replicas=replicas, histories=histories, stops=stops)


def applied(observed: Observed, planned: Plan) -> Observed:
    """What is observed once the plan's actions are under way."""
    replicas, histories = list(observed.replicas), dict(observed.histories)
    stops = dict(observed.stops)
    for action in planned.actions:
        if isinstance(action, Start):
            new = ObservedReplica(
                action.replica_id,
                action.slot,
                action.worker_id,
                PENDING,
                action.devices,
                max_queue=action.max_queue,
                request_limit=action.request_limit,
            )
            replicas.append(new)
            history = histories.get(action.slot, SlotHistory())
            histories[action.slot] = SlotHistory(history.starts + 1, history.failures)
        elif isinstance(action, Requeue):
            replicas = [
                msgspec.structs.replace(
                    each, max_queue=action.max_queue, request_limit=action.request_limit
                )
                if each.replica_id == action.replica_id
                else each
                for each in replicas
            ]
        else:
            stops[action.replica_id] = math.inf
    return Observed(
        workers=observed.workers, replicas=tuple(replicas), histories=histories, stops=stops
    )


def settled(observed: Observed) -> Observed:
    """What is observed once everything under way has come to its end."""
    gone = {each for each, again in observed.stops.items() if again == math.inf}
    replicas = tuple(
        msgspec.structs.replace(each, state=READY)
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


@given(desires(), observations(), policies)
def test_planning_again_after_applying_yields_nothing(
    desired: Desired, observed: Observed, policy: PlanPolicy
) -> None:
    first = plan(desired, observed, NOW, policy)
    second = plan(desired, applied(observed, first), NOW, policy)
    assert second.actions == ()
    assert second.wake_at == first.wake_at


@given(desires(), observations(), policies)
def test_no_more_replicas_load_on_a_worker_at_once_than_the_limit(
    desired: Desired, observed: Observed, policy: PlanPolicy
) -> None:
    def loading(state: Observed) -> Counter[str]:
        return Counter(
            each.worker_id for each in state.replicas if each.state in (PENDING, LOADING)
        )

    before = loading(observed)
    after = loading(applied(observed, plan(desired, observed, NOW, policy)))
    assert all(after[each] <= max(before[each], policy.launches) for each in after)


@given(desires(), observations(), policies)
def test_no_replica_is_started_where_one_lives(
    desired: Desired, observed: Observed, policy: PlanPolicy
) -> None:
    planned = plan(desired, observed, NOW, policy)
    occupied = {(each.slot.uid, each.slot.ordinal) for each in observed.replicas}
    started = [each for each in planned.actions if isinstance(each, Start)]
    ids = {each.worker_id for each in observed.workers}
    places = Counter((each.slot.uid, each.slot.ordinal) for each in started)
    assert not occupied & places.keys()
    assert all(count == 1 for count in places.values())
    assert len({each.replica_id for each in started}) == len(started)
    assert all(each.worker_id in ids for each in started)


def spare(observed: Observed) -> dict[tuple[str, str, int], int]:
    """What may be given away of each device: the free memory less what was promised."""
    room = {
        (worker.worker_id, device.kind, device.index): device.memory_free
        for worker in observed.workers
        for device in worker.devices
    }
    for replica in observed.replicas:
        for share in replica.devices:
            key = (replica.worker_id, share.kind, share.index)
            if key in room:
                room[key] -= share.memory
    return room


@given(desires(), observations(), st.booleans(), st.booleans())
def test_no_device_is_promised_more_than_it_has(
    desired: Desired, observed: Observed, pack: bool, share_devices: bool
) -> None:
    policy = msgspec.structs.replace(
        POLICY, placement=PlacementPolicy(pack=pack, share_devices=share_devices)
    )
    planned = plan(desired, observed, NOW, policy)
    before, after = spare(observed), spare(applied(observed, planned))
    for device, room in after.items():
        assert room == before[device] or room >= 0
    again = plan(desired, applied(observed, planned), NOW, policy)
    assert again.actions == ()
    assert again.refusals.keys() == planned.refusals.keys()


@given(desires(), observations())
def test_a_replica_has_the_devices_that_were_asked_for(
    desired: Desired, observed: Observed
) -> None:
    planned = plan(desired, observed, NOW, POLICY)
    for start in planned.actions:
        if not isinstance(start, Start):
            continue
        wanted = desired[start.slot.uid]
        accelerators = [share for share in start.devices if share.kind == "cuda"]
        n_gpu = wanted.places[0].n_gpu
        if n_gpu is None:
            assert not accelerators
        elif isinstance(n_gpu, int):
            assert len(start.devices) == len(accelerators) == n_gpu
        assert wanted.places[0].worker in ("", start.worker_id)
        assert sum(share.memory for share in start.devices) >= wanted.memory.weights
        (worker,) = (each for each in observed.workers if each.worker_id == start.worker_id)
        assert wanted.spec.worker_labels.items() <= worker.labels.items()


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
        and slot.ordinal in desired[slot.uid].ordinals
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
        for ordinal in each.ordinals
    }
    assert wanted <= covered


@given(desires(), observations(), policies)
def test_from_any_state_it_comes_to_what_is_desired(
    desired: Desired, observed: Observed, policy: PlanPolicy
) -> None:
    now = NOW
    for _ in range(30):
        planned = plan(desired, observed, now, policy)
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
        assert slot.ordinal in desired[slot.uid].ordinals
    for wanted in desired.values():
        serving = [each for each in observed.replicas if each.slot.uid == wanted.uid]
        if len(serving) == wanted.replicas:
            assert sum(each.max_queue for each in serving) == wanted.max_queue
            limits = [each.request_limit for each in serving]
            assert wanted.request_limits in (sum(each or 0 for each in limits), *limits)
        for ordinal in wanted.ordinals:
            slot = SlotKey(wanted.uid, wanted.generation, ordinal)
            given_up = has_given_up(observed.histories.get(slot, SlotHistory()), POLICY)
            refused = slot in planned.refusals
            assert slot in living or given_up or refused or not observed.workers
