"""Replica processes: how they start, end, fail and are stopped, and what is left of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from time import monotonic
from typing import TYPE_CHECKING

import psutil
import pytest
from anyio import move_on_after

from xinfer.core.worker import process as process_module
from xinfer.errors import Unavailable
from xinfer.types.deployment import DeploymentState as State

if TYPE_CHECKING:
    from tests.unit.core.worker.conftest import Bench

    MakeBench = Callable[..., AbstractAsyncContextManager[Bench]]

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


def gone(pid: int) -> bool:
    """No process, not even a zombie."""
    return not psutil.pid_exists(pid)


async def until_gone(pid: int) -> None:
    """Until whoever has adopted it has reaped it."""
    with suppress(psutil.NoSuchProcess):
        await asyncio.to_thread(psutil.Process(pid).wait, 30)


async def test_a_replica_becomes_ready_and_leaves_when_asked(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("serve")
        assert b.report().state is State.LOADING
        report = await b.until(lambda r: r.state is State.READY)
        assert report.progress.fraction == 0.5
        assert report.loaded is not None
        assert report.loaded.concurrency == 2
        assert report.address.startswith(f"unix:{b.home}/")
        pid = report.pid
        assert pid is not None
        assert os.getpgid(pid) == pid != os.getpgid(0)
        b.replicas.stop("m-0-aa", drain=5.0)
        assert b.report().state is State.DRAINING
        report = await b.until(lambda r: r.state is State.TERMINATED)
        assert report.failure is None
        assert gone(pid)
        assert b.replicas.log("m-0-aa", 1) == ["draining"]


async def test_a_second_start_of_the_same_replica_does_nothing(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("serve")
        pid = (await b.until(lambda r: r.state is State.READY)).pid
        b.start("serve")
        assert b.report().pid == pid


async def test_an_ended_replica_is_reported_until_it_is_forgotten(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("fail")
        b.replicas.forget(["m-0-aa"])
        assert len(b.replicas.reports()) == 1
        await b.until(lambda r: r.state is State.ERROR)
        b.replicas.forget(["m-0-aa", "unknown"])
        assert b.replicas.reports() == ()
        assert "about to fail" in b.replicas.log("m-0-aa", 10)


async def test_what_the_replica_says_of_its_failure_is_kept_whole(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("fail")
        failure = (await b.until(lambda r: r.state is State.ERROR)).failure
        assert failure is not None
        assert (failure.kind, failure.message, failure.code) == (
            "InvalidRequest",
            "no such file",
            "bad",
        )
        assert failure.details["path"] == "/x"
        assert failure.details["exit"] == "exited with code 1"
        assert failure.details["log"][-1] == "about to fail"


async def test_a_replica_that_fails_but_stays_is_killed(bench: MakeBench) -> None:
    async with bench(stop_timeout=0.2) as b:
        b.start("fail and stay")
        report = await b.until(lambda r: r.state is State.ERROR)
        assert report.failure is not None
        assert report.failure.message == "broken"
        assert report.pid is not None
        assert gone(report.pid)


async def test_a_crash_is_told_in_plain_words_with_the_last_lines(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("crash")
        failure = (await b.until(lambda r: r.state is State.ERROR)).failure
        assert failure is not None
        assert "while loading: it was killed by signal 9 (SIGKILL), perhaps" in failure.message
        assert failure.message.endswith("line 79")
        assert failure.details["log"] == [f"line {n}" for n in range(30, 80)]


async def test_leaving_unasked_is_a_failure_even_with_exit_code_0(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("die when ready")
        failure = (await b.until(lambda r: r.state is State.ERROR)).failure
        assert failure is not None
        assert "ended while serving: it exited with code 0" in failure.message


async def test_a_program_that_cannot_be_started_is_a_failure(bench: MakeBench) -> None:
    async with bench() as b:
        b.replicas._command = ("/nonexistent/python",)
        b.start("serve")
        failure = (await b.until(lambda r: r.state is State.ERROR)).failure
        assert failure is not None
        assert "cannot be run" in failure.message
        assert "/nonexistent/python" in failure.message


async def test_a_load_without_progress_is_ended(bench: MakeBench) -> None:
    async with bench(load_stall_timeout=0.3) as b:
        b.start("stall")
        report = await b.until(lambda r: r.state is State.ERROR)
        assert report.failure is not None
        assert "made no progress for 0.3 s" in report.failure.message
        assert report.pid is not None
        assert gone(report.pid)


async def test_a_slow_load_with_progress_is_not_ended(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(process_module, "monotonic", lambda: now)
    async with bench(load_stall_timeout=600.0) as b:
        b.start("load a step for each signal")
        for step in range(1, 5):
            report = await b.until(lambda r, at=step / 10: r.progress.fraction == at)
            assert report.pid is not None
            now += 599.0
            os.kill(report.pid, signal.SIGUSR1)
        await b.until(lambda r: r.state is State.READY)


async def test_a_status_that_cannot_be_read_ends_the_replica(bench: MakeBench) -> None:
    async with bench(stop_timeout=0.2) as b:
        b.start("babble")
        failure = (await b.until(lambda r: r.state is State.ERROR)).failure
        assert failure is not None
        assert "same version of xinfer" in failure.message


async def test_stop_cancels_an_unfinished_load(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("stall")
        await b.until_logged("started")
        b.replicas.stop("m-0-aa", drain=60.0)
        report = await b.until(lambda r: r.state is State.TERMINATED)
        assert report.pid is not None
        assert gone(report.pid)


async def test_stop_right_after_start_leaves_nothing(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("serve")
        b.replicas.stop("m-0-aa", drain=60.0)
        report = await b.until(lambda r: r.state is State.TERMINATED)
        assert report.pid is None or gone(report.pid)


async def test_stdin_ends_when_the_drain_is_over(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("serve until stdin ends")
        await b.until(lambda r: r.state is State.READY)
        began = monotonic()
        b.replicas.stop("m-0-aa", drain=0.3)
        await b.until(lambda r: r.state is State.TERMINATED)
        assert monotonic() - began >= 0.3
        assert b.replicas.log("m-0-aa", 2) == ["still draining", "stdin ended"]


async def test_a_second_stop_shortens_the_drain(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("serve until stdin ends")
        await b.until(lambda r: r.state is State.READY)
        b.replicas.stop("m-0-aa", drain=600.0)
        await b.until_logged("still draining")
        b.replicas.stop("m-0-aa", drain=0.0)
        await b.until(lambda r: r.state is State.TERMINATED)


async def test_a_replica_that_does_not_leave_is_killed_with_its_children(
    bench: MakeBench,
) -> None:
    async with bench(stop_timeout=0.2) as b:
        b.start("never leave")
        report = await b.until(lambda r: r.state is State.READY)
        grandchild = int((await b.until_logged("grandchild")).split()[1])
        b.replicas.stop("m-0-aa", drain=0.1)
        await b.until(lambda r: r.state is State.TERMINATED)
        assert report.pid is not None
        assert gone(report.pid)
        await until_gone(grandchild)


async def test_what_a_dead_replica_leaves_behind_is_killed(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("leave a grandchild")
        report = await b.until(lambda r: r.state is State.ERROR)
        assert report.failure is not None
        assert "exited with code 3" in report.failure.message
        await until_gone(int(b.replicas.log("m-0-aa", 1)[0].split()[1]))


async def test_close_kills_whatever_runs(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("never leave", "m-0-aa")
        b.start("stall", "m-1-bb")
        one = await b.until(lambda r: r.state is State.READY, "m-0-aa")
        await b.until_logged("started", "m-1-bb")
        two = b.report("m-1-bb")
        await b.replicas.close()
        assert {r.state for r in b.replicas.reports()} == {State.TERMINATED}
        for report in (one, two):
            assert report.pid is not None
            assert gone(report.pid)


async def test_close_does_not_wait_for_a_load_that_will_not_leave(bench: MakeBench) -> None:
    async with bench(stop_timeout=600.0) as b:
        b.start("load for ever")
        await b.until_logged("loading")
        await asyncio.wait_for(b.replicas.close(), 10)
        pid = b.report().pid
        assert pid is not None
        assert gone(pid)


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_close_right_after_a_start_leaves_nothing(bench: MakeBench, turns: int) -> None:
    async with bench() as b:
        b.start("fail", "m-0-00")  # starts the guard
        await b.until(lambda r: r.state is State.ERROR, "m-0-00")
        await b.replicas.ended()
        before = psutil.Process().num_fds()
        b.start("serve")
        for _ in range(turns):
            await asyncio.sleep(0)
        with move_on_after(10) as patience:
            await b.replicas.close()
        assert not patience.cancelled_caught
        await asyncio.sleep(0)  # transports close their descriptors in the next turn
        assert psutil.Process().num_fds() <= before


async def test_a_closing_worker_takes_no_assignment(bench: MakeBench) -> None:
    async with bench() as b:
        b.replicas.stop_all(0.0)
        with pytest.raises(Unavailable, match="shutting down"):
            b.start("serve")


async def test_a_worker_that_has_not_joined_takes_no_assignment(bench: MakeBench) -> None:
    async with bench() as b:
        b.replicas.link_token = None
        with pytest.raises(Unavailable, match="not joined"):
            b.start("serve")


async def test_the_environment_holds_no_secret_of_the_cluster(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XINFERENCE_CLUSTER_TOKEN", "secret")
    monkeypatch.setenv("XINFERENCE_API_KEY", "secret")
    monkeypatch.setenv("XOSCAR_AUTH_KEY", "secret")
    monkeypatch.setenv("HF_HOME", "/kept")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    async with bench() as b:
        b.start("print the environment")
        await b.until(lambda r: r.state is State.ERROR)
        environment = json.loads(b.replicas.log("m-0-aa", 1)[0])
        assert "secret" not in environment.values()
        assert environment["HF_HOME"] == "/kept"
        assert environment["OMP_WAIT_POLICY"] == "passive"


async def test_output_is_also_in_a_file(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("fail", "a/b ü-0-aa")
        await b.until(lambda r: r.state is State.ERROR, "a/b ü-0-aa")
        (file,) = (b.home / "logs" / "replicas").iterdir()
        assert file.name == "a_b__-0-aa.log"
        assert "about to fail\n" in file.read_text()


async def test_no_descriptor_is_left_open(bench: MakeBench) -> None:
    def descriptors() -> int:
        return psutil.Process().num_fds()

    async with bench() as b:
        b.start("fail", "m-0-00")  # starts the guard
        await b.until(lambda r: r.state is State.ERROR, "m-0-00")
        await b.replicas.ended()
        before = descriptors()
        for number in range(5):
            b.start("fail", f"m-0-{number + 1}")
        for number in range(5):
            await b.until(lambda r: r.state is State.ERROR, f"m-0-{number + 1}")
        await b.replicas.ended()
        await asyncio.sleep(0)  # transports close their descriptors one step later
        assert descriptors() == before


async def test_a_running_replica_is_told_another_queue_and_reports_it(bench: MakeBench) -> None:
    async with bench() as b:
        b.start("say updates")
        await b.until(lambda r: r.state is State.READY)
        b.replicas.set_queue("m-0-aa", 9)
        assert b.report().assignment.max_queue == 9
        assert await b.until_logged("update") == 'update {"max_queue":9}'
        b.replicas.set_queue("m-0-aa", 9)  # says nothing twice
        b.replicas.set_queue("never", 9)
        b.replicas.set_queue("m-0-aa", 2)
        assert await b.until_logged('{"max_queue":2}')
        b.replicas.set_queue("m-0-aa", 2, 5)
        assert b.report().assignment.request_limit == 5
        assert await b.until_logged('{"max_queue":2,"request_limit":5}')
        assert sum("update" in line for line in b.replicas.log("m-0-aa", 100)) == 3
