"""Admission: the bound is exact, the order fair, and no place is lost."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.replicas import soon
from xinfer.core.replica.admission import Admission, Place
from xinfer.errors import DeadlineExceeded, RateLimited, Unavailable
from xinfer.types.link import Load

pytestmark = pytest.mark.anyio


def numbers(admission: Admission) -> tuple[int, int]:
    return admission.load.running, admission.load.waiting


async def queued(admission: Admission) -> tuple[Place, asyncio.Task[None]]:
    """A place whose owner waits for its slot."""
    place = admission.enter()
    task = asyncio.create_task(place.slot())
    await asyncio.sleep(0)
    return place, task


async def test_the_bound_is_exact_and_the_surplus_is_refused_at_once() -> None:
    admission = Admission(2, 3, 60.0)
    places = [admission.enter() for _ in range(5)]
    assert admission.load == Load(2, 3, 5)
    for _ in range(2):
        with pytest.raises(Unavailable, match="2 requests run and 3 wait") as refusal:
            admission.enter()
        assert refusal.value.code == "overloaded"
        assert refusal.value.retry_after
    places[0].leave()
    admission.enter()
    assert numbers(admission) == (2, 3)
    with pytest.raises(Unavailable):
        admission.enter()


async def test_without_a_waiting_room_only_slots_are_given() -> None:
    admission = Admission(1, 0, 60.0)
    place = admission.enter()
    with pytest.raises(Unavailable):
        admission.enter()
    place.leave()
    assert admission.enter()


async def test_a_limit_bounds_those_who_run_and_those_who_wait_together() -> None:
    admission = Admission(2, 3, 60.0, limit=3)
    places = [admission.enter() for _ in range(3)]
    assert admission.load == Load(2, 1, 3)
    with pytest.raises(RateLimited, match="as its request_limits allow") as refusal:
        admission.enter()
    assert refusal.value.retry_after
    places[2].leave()
    admission.enter()
    admission.limit = 2  # those who are in it stay
    assert numbers(admission) == (2, 1)
    places[0].leave()
    with pytest.raises(RateLimited):
        admission.enter()
    admission.limit = None
    admission.enter()
    assert admission.load == Load(2, 1, 5)


async def test_a_limit_above_the_waiting_room_leaves_the_room_its_bound() -> None:
    admission = Admission(1, 1, 60.0, limit=9)
    assert admission.load.capacity == 2
    for _ in range(2):
        admission.enter()
    with pytest.raises(Unavailable):
        admission.enter()


async def test_slots_are_given_in_the_order_of_arrival() -> None:
    admission = Admission(1, 3, 60.0)
    first = admission.enter()
    order: list[int] = []
    waiting = [admission.enter() for _ in range(3)]

    async def wait(number: int) -> None:
        await waiting[number].slot()
        order.append(number)
        waiting[number].leave()

    # Their owners begin to wait in the wrong order; the door counts.
    tasks = [asyncio.create_task(wait(number)) for number in (2, 0, 1)]
    await asyncio.sleep(0)
    assert order == []
    first.leave()
    await soon(asyncio.gather(*tasks))
    assert order == [0, 1, 2]
    assert numbers(admission) == (0, 0)


async def test_a_wait_in_the_queue_is_bounded_and_frees_its_place() -> None:
    admission = Admission(1, 1, 0.01)
    admission.enter()
    place = admission.enter()
    with pytest.raises(DeadlineExceeded, match="waited") as error:
        await soon(place.slot())
    assert error.value.retry_after
    place.leave()
    assert numbers(admission) == (1, 0)
    assert admission.enter()


async def test_who_leaves_the_queue_frees_a_place_and_takes_no_slot() -> None:
    admission = Admission(1, 2, 60.0)
    running = admission.enter()
    leaving, task = await queued(admission)
    staying, its_turn = await queued(admission)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    leaving.leave()
    assert numbers(admission) == (1, 1)
    running.leave()
    await soon(its_turn)
    assert numbers(admission) == (1, 0)
    staying.leave()
    assert numbers(admission) == (0, 0)


async def test_a_slot_that_comes_free_passes_by_who_was_cancelled_and_has_not_left_yet() -> None:
    admission = Admission(1, 2, 60.0)
    running = admission.enter()
    _, cancelled = await queued(admission)
    _, its_turn = await queued(admission)
    cancelled.cancel()
    await asyncio.sleep(0)
    running.leave()
    await soon(its_turn)
    assert numbers(admission) == (1, 0)


async def test_a_cancellation_that_meets_the_turn_is_not_lost() -> None:
    admission = Admission(1, 1, 60.0)
    running = admission.enter()
    _, task = await queued(admission)
    running.leave()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_draining_sends_the_waiting_away_and_lets_the_running_be() -> None:
    admission = Admission(1, 2, 60.0)
    running = admission.enter()
    waiting, task = await queued(admission)
    not_yet_waiting = admission.enter()
    admission.close()
    for owner in (task, asyncio.create_task(not_yet_waiting.slot())):
        with pytest.raises(Unavailable) as sent_away:
            await soon(owner)
        assert sent_away.value.code == "draining"
    with pytest.raises(Unavailable) as refused:
        admission.enter()
    assert refused.value.code == "draining"
    waiting.leave()
    assert numbers(admission) == (1, 0)
    running.leave()
    with pytest.raises(Unavailable):
        admission.enter()


async def test_leaving_twice_gives_one_place_back() -> None:
    admission = Admission(2, 0, 60.0)
    first, _ = admission.enter(), admission.enter()
    first.leave()
    first.leave()
    admission.enter()
    with pytest.raises(Unavailable):
        admission.enter()


async def test_a_held_place_counts_and_keeps_no_slot_from_others() -> None:
    admission = Admission(1, 1, 60.0)
    held = admission.enter(held=True)
    assert admission.load == Load(0, 1, 2)
    running = admission.enter()
    assert await soon(running.slot()) == 0.0
    assert admission.load == Load(1, 1, 2)
    for holding in (False, True):
        with pytest.raises(Unavailable):
            admission.enter(held=holding)
    running.leave()
    held.want_slot()
    assert await soon(held.slot()) == 0.0
    assert admission.load == Load(1, 0, 2)
    held.leave()
    assert admission.load == Load(0, 0, 2)


async def test_a_held_place_waits_its_turn_once_it_wants_a_slot() -> None:
    admission = Admission(1, 2, 60.0)
    running, held = admission.enter(), admission.enter(held=True)
    held.want_slot()
    turn = asyncio.create_task(held.slot())
    behind, its_turn = await queued(admission)
    assert admission.load == Load(1, 2, 3)
    running.leave()
    await soon(turn)
    held.leave()
    await soon(its_turn)
    behind.leave()


async def test_a_held_place_is_given_back_without_a_slot_and_counts_into_the_limit() -> None:
    admission = Admission(4, 4, 60.0, limit=1)
    held = admission.enter(held=True)
    with pytest.raises(RateLimited):
        admission.enter()
    held.leave()
    admission.enter()


async def test_draining_gives_a_held_place_no_slot() -> None:
    admission = Admission(1, 1, 60.0)
    held = admission.enter(held=True)
    admission.close()
    with pytest.raises(Unavailable) as refused:
        held.want_slot()
    assert refused.value.code == "draining"
    held.leave()
    assert admission.load == Load(0, 0, 2)


@given(st.integers(1, 3), st.integers(0, 3), st.lists(st.integers(0, 9), max_size=60))
def test_no_sequence_of_events_breaks_the_bound_or_strands_anyone(
    slots: int, max_queue: int, choices: list[int]
) -> None:
    async def run() -> None:
        admission = Admission(slots, max_queue, 60.0)
        inside: list[asyncio.Task[None]] = []

        async def visit(leave: asyncio.Event, held: bool) -> None:
            taken = sum(numbers(admission))
            try:
                place = admission.enter(held=held)
            except Unavailable:
                assert taken == slots + max_queue
                return
            assert taken < slots + max_queue
            try:
                if held:
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)
                    place.want_slot()
                await place.slot()
                await leave.wait()
            finally:
                place.leave()

        exits: list[asyncio.Event] = []
        for choice in choices:
            if choice < 5:
                exits.append(asyncio.Event())
                inside.append(asyncio.create_task(visit(exits[-1], held=choice > 2)))
            elif exits and choice < 8:
                exits.pop(0).set()
            elif inside:
                inside[choice % len(inside)].cancel()
            if choice % 2:
                await asyncio.sleep(0)
            running, waiting = numbers(admission)
            assert running <= slots
            assert running + waiting <= slots + max_queue
        for leave in exits:
            leave.set()
        for end in await asyncio.gather(*inside, return_exceptions=True):
            assert end is None or isinstance(end, asyncio.CancelledError)
        assert numbers(admission) == (0, 0)

    asyncio.run(run())
