"""The supervisor as a whole: reports in, assignments and snapshots out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.unit.core.supervisor.support import (
    ERROR,
    READY,
    TERMINATED,
    Clock,
    FakeWorkers,
    MemoryStore,
    assignment,
    deployment,
    replica,
    report,
    run,
    turns,
    until,
)
from xinfer.core.supervisor.supervisor import Supervisor
from xinfer.model.catalog.resolve import Resolved
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.settings import Settings
from xinfer.types.deployment import Deployment, LaunchSpec
from xinfer.types.model import ModelSpec

BRINGS = deployment("kept", generation=3)


def resolve(spec: LaunchSpec, around: Surroundings) -> Resolved:
    return Resolved(ModelSpec(name=spec.model_name), "echo", {})


@asynccontextmanager
async def running(
    settings: Settings | None = None,
    clock: Clock | None = None,
    *,
    stored: tuple[Deployment, ...] = (),
    restarted: bool = False,
    owns_workers: bool = True,
    unix_now: Callable[[], float] = lambda: 1e6,
) -> AsyncIterator[tuple[Supervisor, FakeWorkers]]:
    workers = FakeWorkers()
    store = MemoryStore(first_generation=1_000_000)
    for each in stored:
        await store.put(each)
    supervisor = Supervisor(
        settings or Settings(drain_timeout=0.05, stop_timeout=0.05),
        workers,
        store,
        link_token=bytes(32),
        restarted=restarted,
        owns_workers=owns_workers,
        resolve=resolve,
        monotonic=clock or Clock(),
        unix_now=unix_now,
    )
    await supervisor.restore()
    task = asyncio.create_task(supervisor.run())
    try:
        yield supervisor, workers
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})


def test_a_model_is_launched_served_and_terminated(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with running() as (supervisor, workers):
            reply = await supervisor.report(report(sequence=1))
            assert len(reply.link_token) == 32
            assert reply.forget == ()
            spec = LaunchSpec(model_name="echo", model_uid="m")
            await supervisor.service.launch(spec)
            await until(lambda: workers.started)
            given = workers.started[0][1]
            await supervisor.report(report(replica(given, READY), sequence=2))
            await supervisor.service.terminate("m")
            await until(lambda: workers.stopped)
            reply = await supervisor.report(report(replica(given, TERMINATED), sequence=3))
            assert reply.forget == (given.replica_id,)
            assert supervisor.state.snapshot().deployments == {}
            await until(lambda: "Model m is TERMINATED" in caplog.text)

    with caplog.at_level("INFO"):
        run(main)
    assert "Worker 127.0.0.1:1 has been added successfully" in caplog.text
    assert "Model m is DRAINING" in caplog.text


def test_a_new_supervisor_takes_over_what_runs_without_a_restart() -> None:
    async def main() -> None:
        async with running() as (supervisor, workers):
            running_already = replica(assignment(BRINGS, "old", restarts=2), READY)
            await supervisor.report(report(running_already, sequence=40))
            status = supervisor.state.snapshot().deployments["kept"]
            assert status.state is READY
            assert status.replicas[0].restarts == 2
            await supervisor.report(report(running_already, sequence=41))
            assert workers.started == []
            assert workers.stopped == []

    run(main)


def test_what_was_terminated_stays_so_when_a_late_worker_brings_it() -> None:
    async def main() -> None:
        async with running() as (supervisor, workers):
            brought = replica(assignment(BRINGS, "old"), READY)
            await supervisor.report(report(brought, sequence=1))
            await supervisor.service.terminate("kept")
            other = replica(assignment(BRINGS, "late"), READY)
            late = report(other, worker_id="w2", address="127.0.0.1:2", sequence=1)
            await supervisor.report(late)
            await until(lambda: len(workers.stopped) == 2)
            told = {stop.replica_id for _, stop in workers.stopped}
            assert told == {"old", "late"}

    run(main)


def test_a_launch_after_a_restart_is_newer_than_what_a_worker_brings() -> None:
    async def main() -> None:
        async with running() as (supervisor, workers):
            await supervisor.service.launch(LaunchSpec(model_name="echo", model_uid="kept"))
            brought = replica(assignment(BRINGS, "old"), READY)
            await supervisor.report(report(brought, sequence=1))
            await until(lambda: workers.stopped)
            assert workers.stopped[0][1].replica_id == "old"
            assert workers.started == []
            await supervisor.report(report(sequence=2))
            await until(lambda: workers.started)

    run(main)


def test_what_the_store_holds_is_launched_and_listed(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with running(stored=(BRINGS,)) as (supervisor, workers):
            await supervisor.report(report(sequence=1))
            await until(lambda: workers.started)
            assert workers.started[0][1].deployment == BRINGS

    with caplog.at_level("INFO"):
        run(main)
    assert "Launched before and still wanted: kept." in caplog.text
    assert "xinference terminate" in caplog.text


def test_after_a_restart_nothing_is_started_before_workers_could_report_what_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        settings = Settings(heartbeat_interval=0.01)
        clock = Clock()
        two = deployment("two", generation=3, replicas=2)
        async with running(settings, clock, stored=(two,), restarted=True) as (
            supervisor,
            workers,
        ):
            first = replica(assignment(two, "r0", ordinal=0), READY)
            await supervisor.report(report(first, sequence=1))
            # It does not know of the other worker yet, which brings the other replica.
            await turns()
            assert workers.started == []
            other = replica(assignment(two, "r1", ordinal=1), READY)
            await supervisor.report(
                report(other, worker_id="w2", address="127.0.0.1:2", sequence=1)
            )
            await until(lambda: "Model two is READY" in caplog.text)  # all is known
            await supervisor.report(report(sequence=2))  # and now one has ended
            await until(lambda: workers.started)
            assert [each.ordinal for _, each in workers.started] == [0]
            assert workers.stopped == []

    with caplog.at_level("INFO"):
        run(main)


def test_after_a_restart_what_no_worker_reports_is_started_when_they_had_their_time() -> None:
    async def main() -> None:
        settings = Settings(heartbeat_interval=0.01)
        clock = Clock()
        async with running(settings, clock, stored=(BRINGS,), restarted=True) as (
            supervisor,
            workers,
        ):
            await supervisor.report(report(sequence=1))
            await turns()
            assert workers.started == []
            clock.now += 0.015
            await until(lambda: workers.started)

    run(main)


def test_workers_that_outlived_a_stopped_supervisor_have_time_from_the_first_report_on() -> None:
    async def main() -> None:
        settings = Settings(heartbeat_interval=0.01)
        clock = Clock()
        async with running(settings, clock, stored=(BRINGS,), owns_workers=False) as (
            supervisor,
            workers,
        ):
            clock.now += 1000.0
            await until(lambda: supervisor.control._snapshot)  # API processes need not wait
            await supervisor.report(report(sequence=1))  # this worker does not have it
            await turns()
            assert workers.started == []
            clock.now += 0.014
            brought = replica(assignment(BRINGS, "old"), READY)
            await supervisor.report(report(brought, worker_id="w2", address="127.0.0.1:2"))
            clock.now += 0.014
            await turns()
            assert (workers.started, workers.stopped) == ([], [])
            assert supervisor.state.snapshot().deployments["kept"].state is READY

    run(main)


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_jump_of_the_time_of_day_changes_nothing(jump: float) -> None:
    async def main() -> None:
        of_day = Clock()
        settings = Settings(heartbeat_interval=0.01)
        async with running(settings, unix_now=of_day) as (supervisor, workers):
            await supervisor.report(report(replica(assignment(BRINGS, "old"), READY), sequence=1))
            of_day.now += jump
            await supervisor.report(report(replica(assignment(BRINGS, "old"), READY), sequence=2))
            await turns()
            assert supervisor.state.snapshot().deployments["kept"].state is READY
            assert (workers.started, workers.stopped) == ([], [])

    run(main)


def test_draining_is_told_to_replicas_and_nothing_is_taken_over_any_more() -> None:
    async def main() -> None:
        async with running() as (supervisor, workers):
            brought = replica(assignment(BRINGS, "old"), READY)
            await supervisor.report(report(brought, sequence=1))
            await supervisor.drain()
            assert [stop.replica_id for _, stop in workers.stopped] == ["old"]
            assert supervisor.state.snapshot().draining
            other = replica(assignment(deployment("other"), "x"), ERROR)
            await supervisor.report(report(brought, other, sequence=2))
            assert "other" not in supervisor.state.desired

    run(main)


def test_a_drain_does_not_wait_for_a_worker_that_is_lost() -> None:
    async def main() -> None:
        settings = Settings(drain_timeout=600, heartbeat_interval=0.01, heartbeat_timeout=0.015)
        clock = Clock()
        async with running(settings, clock) as (supervisor, _):
            await supervisor.report(report(sequence=1))
            draining = asyncio.create_task(supervisor.drain())
            await until(lambda: supervisor.state.draining)
            clock.now += 0.016
            await until(draining.done)

    run(main)


def test_events_tell_of_models_and_of_workers_that_come_leave_and_are_lost() -> None:
    async def main() -> None:
        clock = Clock()
        settings = Settings(heartbeat_interval=0.01, heartbeat_timeout=0.015)
        async with running(settings, clock) as (supervisor, workers):
            await supervisor.report(report(sequence=1))
            await supervisor.report(report(worker_id="other", address="127.0.0.1:2", sequence=1))
            await supervisor.service.launch(LaunchSpec(model_name="echo", model_uid="m"))
            await until(lambda: workers.started)
            await supervisor.report(
                report(worker_id="other", address="127.0.0.1:2", sequence=2, leaving=True)
            )
            clock.now += 0.016
            await until(lambda: any("lost" in each.text for each in supervisor.events.read()))
            told = [(each.worker, each.text) for each in supervisor.events.read("")]
            assert told == [
                ("127.0.0.1:1", "Worker 127.0.0.1:1 has been added successfully"),
                ("127.0.0.1:2", "Worker 127.0.0.1:2 has been added successfully"),
                ("127.0.0.1:2", "Worker 127.0.0.1:2 is leaving"),
                ("127.0.0.1:1", "Worker 127.0.0.1:1 is lost"),
            ]
            first = supervisor.events.read("m")[0]
            assert (first.at, first.text) == (1e6, "Model m is PENDING")

    run(main)
