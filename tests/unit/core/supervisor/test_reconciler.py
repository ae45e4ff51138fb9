"""The loop: what it asks of workers and what it makes of their answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.unit.core.supervisor.support import (
    CRASH,
    ERROR,
    LOADING,
    READY,
    Clock,
    FakeWorkers,
    assignment,
    cluster_state,
    deployment,
    replica,
    report,
    run,
    turns,
    unreachable,
    until,
)
from xinfer.core.supervisor.reconciler import Reconciler
from xinfer.errors import Conflict, Unavailable
from xinfer.settings import Settings
from xinfer.types.cluster import ReplicaReport
from xinfer.types.deployment import DeploymentState, Snapshot


class Room:
    """A running reconciler with one worker; time passes when `later` says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.state = cluster_state()
        self.workers = FakeWorkers()
        self.published: list[Snapshot] = []
        self.sequence = 0
        self.reconciler = Reconciler(
            self.state,
            self.workers,
            Settings(drain_timeout=3.0, heartbeat_interval=2.0, heartbeat_timeout=10.0),
            publish=self.published.append,
            monotonic=self.clock,
            unix_now=lambda: 77.7,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.reconciler.run())
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait({task})

    def says(self, *replicas: ReplicaReport) -> None:
        self.sequence += 1
        self.state.apply(report(*replicas, sequence=self.sequence), self.clock())
        self.reconciler.wake()

    def later(self, seconds: float) -> None:
        self.clock.now += seconds
        self.reconciler.wake()

    async def round(self) -> None:
        """One more round, begun after this call."""
        count = len(self.published)
        self.reconciler.wake()
        await until(lambda: len(self.published) > count)

    @property
    def statuses(self) -> list[DeploymentState]:
        return [each.state for each in self.published[-1].deployments["m"].replicas]


def test_a_wanted_replica_is_started_once_with_all_that_it_needs() -> None:
    async def main() -> None:
        room = Room()
        room.says()
        room.state.put(deployment(max_queue=9))
        async with room.running():
            await until(lambda: room.workers.started)
            ((address, given),) = room.workers.started
            assert address == "127.0.0.1:1"
            assert given.deployment == deployment(max_queue=9)
            assert (given.max_queue, given.restarts, given.created) == (9, 0, 77)
            await room.round()
            room.says(replica(given, LOADING))
            await room.round()
            assert len(room.workers.started) == 1
            assert room.statuses == [LOADING]

    run(main)


def test_it_starts_nothing_before_a_worker_is_there() -> None:
    async def main() -> None:
        room = Room()
        room.state.put(deployment())
        async with room.running():
            await until(lambda: room.published)
            message = room.published[-1].deployments["m"].replicas[0].progress.message
            assert "Waiting for a worker" in message
            room.says()
            await until(lambda: room.workers.started)

    run(main)


def test_a_failed_replica_is_started_again_when_its_wait_is_over() -> None:
    async def main() -> None:
        room = Room()
        room.says()
        room.state.put(deployment())
        async with room.running():
            await until(lambda: room.workers.started)
            room.says(replica(room.workers.started[0][1], ERROR, failure=CRASH))
            await room.round()
            assert len(room.workers.started) == 1
            room.later(1.0)
            await until(lambda: len(room.workers.started) == 2)
            first, second = (each for _, each in room.workers.started)
            assert second.restarts == 1
            assert second.replica_id != first.replica_id

    run(main)


def test_time_alone_wakes_it() -> None:
    async def main() -> None:
        room = Room()
        room.says()
        room.state.put(deployment())
        async with room.running():
            await until(lambda: room.workers.started)
            room.clock.now += 0.99
            room.says(replica(room.workers.started[0][1], ERROR, failure=CRASH))
            await room.round()
            # Nobody wakes it; a wait of one second by its own clock is due at once by ours.
            room.clock.now += 0.999
            await room.round()
            assert len(room.workers.started) == 1
            room.clock.now += 0.002
            await until(lambda: len(room.workers.started) == 2)

    run(main)


def test_a_worker_that_cannot_be_reached_is_avoided_and_the_model_not_blamed() -> None:
    async def main() -> None:
        room = Room()
        room.workers.failing["start"] = unreachable()
        room.says()
        room.state.put(deployment())
        async with room.running():
            await until(lambda: room.state.observed(room.clock()).workers == ())
            await room.round()
            assert room.published[-1].deployments["m"].failure is None
            room.workers.failing.clear()
            room.says()
            await room.round()
            assert room.workers.started == []
            room.later(10.0)
            room.says()
            await until(lambda: room.workers.started)

    run(main)


def test_a_worker_that_has_just_joined_is_tried_again_soon() -> None:
    async def main() -> None:
        room = Room()
        room.workers.failing["start"] = Unavailable("not joined yet", code="joining")
        room.says()
        room.state.put(deployment())
        async with room.running():
            await until(lambda: room.state.observed(room.clock()).workers == ())
            room.workers.failing.clear()
            room.later(0.3)
            await until(lambda: room.workers.started)
            assert room.published[-1].deployments["m"].failure is None

    run(main)


def test_a_start_that_the_worker_refuses_counts_as_a_failure() -> None:
    async def main() -> None:
        room = Room()
        room.workers.failing["start"] = RuntimeError("broken")
        room.says()
        room.state.put(deployment())
        async with room.running():
            await until(
                lambda: room.published and room.published[-1].deployments["m"].failure is not None
            )
            failure = room.published[-1].deployments["m"].failure
            assert failure is not None
            assert "broken" in failure.message

    run(main)


def test_an_unwanted_replica_is_told_once_to_drain() -> None:
    async def main() -> None:
        room = Room()
        room.says(replica(assignment(deployment(), "gone")))
        async with room.running():
            await until(lambda: room.workers.stopped)
            await room.round()
            ((address, stop),) = room.workers.stopped
            assert (address, stop.replica_id, stop.drain) == ("127.0.0.1:1", "gone", 3.0)

    run(main)


def test_a_stop_that_failed_is_repeated() -> None:
    async def main() -> None:
        room = Room()
        room.workers.failing["stop"] = unreachable()
        room.says(replica(assignment(deployment(), "gone")))
        async with room.running():
            await until(lambda: room.state.observed(0.0).stops == {"gone": room.clock() + 2.0})
            room.workers.failing.clear()
            await room.round()
            assert room.workers.stopped == []
            room.later(2.0)
            await until(lambda: room.workers.stopped)

    run(main)


def test_a_stop_never_overtakes_its_start() -> None:
    async def main() -> None:
        room = Room()
        room.workers.gate = asyncio.Event()
        room.says()
        room.state.put(deployment())
        async with room.running():
            await until(lambda: list(room.state.live()))
            room.state.remove("m")
            await room.round()
            await room.round()
            assert room.state.observed(0.0).stops
            assert room.workers.stopped == []
            room.workers.gate.set()
            await until(lambda: room.workers.stopped)
            assert len(room.workers.started) == 1

    run(main)


def test_a_silent_worker_is_lost_and_its_replica_placed_on_another() -> None:
    async def main() -> None:
        room = Room()
        room.state.put(deployment())
        room.says(replica(assignment(deployment(), "r")))
        async with room.running():
            await until(lambda: room.published)
            assert room.statuses == [READY]
            for _ in range(3):
                room.later(4.0)
                other = report(worker_id="w2", address="127.0.0.1:2", sequence=room.sequence)
                room.sequence += 1
                room.state.apply(other, room.clock())
                await room.round()
            await until(lambda: room.workers.started)
            assert room.workers.started[0][0] == "127.0.0.1:2"

    run(main)


def test_a_pause_of_the_supervisor_loses_no_worker() -> None:
    async def main() -> None:
        room = Room()
        room.state.put(deployment())
        room.says(replica(assignment(deployment(), "r")))
        async with room.running():
            await until(lambda: room.published)
            room.later(3600.0)
            await room.round()
            assert room.statuses == [READY]

    run(main)


def test_draining_tells_every_replica_and_starts_nothing() -> None:
    async def main() -> None:
        room = Room()
        room.state.put(deployment(replicas=2))
        room.says(replica(assignment(deployment(replicas=2), "r")))
        room.workers.gate = asyncio.Event()
        async with room.running():
            await until(lambda: len(list(room.state.live())) == 2)
            draining = asyncio.create_task(room.reconciler.drain())
            await until(lambda: room.published[-1].draining)
            assert not draining.done()
            room.workers.gate.set()
            await draining
            assert len(room.workers.stopped) == 2
            given = room.workers.started[0][1]
            room.says(replica(given, ERROR, failure=CRASH))
            room.later(100.0)
            await room.round()
            assert len(room.workers.started) == 1

    run(main)


def test_what_is_under_way_is_cancelled_with_it() -> None:
    async def main() -> None:
        room, before = Room(), asyncio.all_tasks()
        room.workers.gate = asyncio.Event()
        room.says()
        room.state.put(deployment())
        async with room.running():
            await until(lambda: list(room.state.live()))
        assert asyncio.all_tasks() == before
        assert room.workers.started == []

    run(main)


def test_a_cancellation_that_comes_with_a_change_is_not_lost() -> None:
    async def main() -> None:
        room = Room()
        task = asyncio.create_task(room.reconciler.run())
        await until(lambda: room.published)
        room.reconciler.wake()
        task.cancel()
        await asyncio.wait_for(asyncio.wait({task}), 5)
        assert task.cancelled()

    run(main)


def test_a_refusal_other_than_unavailable_is_shown_to_the_user() -> None:
    async def main() -> None:
        room = Room()
        room.workers.failing["start"] = Conflict("The port is taken.")
        room.says()
        room.state.put(deployment())
        async with room.running():
            await until(
                lambda: room.published and room.published[-1].deployments["m"].failure is not None
            )
            failure = room.published[-1].deployments["m"].failure
            assert failure is not None
            assert (failure.kind, failure.message) == ("Conflict", "The port is taken.")

    run(main)


def test_many_silent_workers_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        room = Room()
        room.says()
        for number in (2, 3):
            extra = report(worker_id=f"w{number}", address=f"127.0.0.1:{number}")
            room.state.apply(extra, room.clock())
        async with room.running():
            await room.round()
            # Seconds pass by the clock of the plan, and the supervisor did not stand still.
            for _ in range(5):
                room.later(2.0)
                await room.round()
            await room.round()
        assert caplog.text.count("More workers fall silent at once") == 1
        assert "is lost" not in caplog.text

    run(main)


def test_running_replicas_are_told_their_queue_once_and_again_when_that_failed() -> None:
    async def main() -> None:
        room = Room()
        wanted = deployment(max_queue=9)
        room.state.put(wanted)
        room.says(replica(assignment(wanted)))
        room.workers.failing["set_queue"] = unreachable()
        async with room.running():
            await room.round()
            assert room.workers.requeued == []
            room.workers.failing.clear()
            await room.round()
            await until(lambda: room.workers.requeued)
            await room.round()
            assert room.workers.requeued == [("r", 9)]
            assert room.workers.started == room.workers.stopped == []

    run(main)


def test_a_storm_of_news_makes_few_rounds_where_one_takes_long() -> None:
    async def main() -> None:
        room = Room()
        room.says()

        def take_long(snapshot: Snapshot) -> None:
            room.published.append(snapshot)
            room.clock.now += 0.5

        room.reconciler._publish = take_long
        async with room.running():
            await until(lambda: room.published)
            for _ in range(100):
                room.reconciler.wake()
                await turns(3)
            assert len(room.published) == 1
            room.clock.now += 0.5
            await until(lambda: len(room.published) == 2)

    run(main)
