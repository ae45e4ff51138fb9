"""The guard: whatever happens to the worker, no process of a replica stays behind."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest

from xinfer import system
from xinfer.core.worker import guard as guard_module
from xinfer.core.worker.guard import Guard

WORKER = Path(__file__).with_name("guarded_worker.py")


def wait_for_end(*pids: int) -> None:
    """Until these processes have ended; zombies count as ended."""
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                process.wait(30)


def test_a_killed_worker_takes_its_replicas_and_their_children_along(tmp_path: Path) -> None:
    command = [sys.executable, str(WORKER), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        try:
            assert worker.stdout is not None
            pids = json.loads(worker.stdout.readline())
            assert all(psutil.pid_exists(pid) for pid in pids.values())
        finally:
            worker.kill()
    wait_for_end(*pids.values())


@asynccontextmanager
async def sleeper() -> AsyncIterator[asyncio.subprocess.Process]:
    """A process in a group of its own."""
    process = await asyncio.create_subprocess_exec("sleep", "600", **system.own_session())
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def started(guard: Guard, other_than: int | None = None) -> int:
    """Its process, once it runs."""

    async def wait() -> int:
        while guard.pid is None or guard.pid == other_than:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return guard.pid

    return await asyncio.wait_for(wait(), 30)


@pytest.mark.anyio
async def test_there_is_no_guard_before_the_first_group() -> None:
    guard = Guard()
    assert guard.pid is None
    await guard.close()


@pytest.mark.anyio
async def test_the_guard_is_small_and_out_of_reach_of_ctrl_c() -> None:
    guard = Guard()
    async with sleeper() as process:
        guard.add(process.pid)
        pid = await started(guard)
        assert os.getsid(pid) == pid != os.getsid(0)
        guard.remove(process.pid)
        await guard.close()
        assert not psutil.pid_exists(pid)


@pytest.mark.anyio
async def test_closing_kills_only_the_groups_still_listed() -> None:
    guard = Guard()
    async with sleeper() as listed, sleeper() as removed:
        guard.add(listed.pid)
        guard.add(removed.pid)
        await started(guard)
        guard.remove(removed.pid)
        await guard.close()
        assert await asyncio.wait_for(listed.wait(), 30) == -9
        assert removed.returncode is None
        assert psutil.pid_exists(removed.pid)


@pytest.mark.anyio
async def test_a_guard_that_died_is_replaced_and_told_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(guard_module, "_RESTART_DELAY", 0.05)
    guard = Guard()
    async with sleeper() as before, sleeper() as after:
        guard.add(before.pid)
        first = await started(guard)
        os.kill(first, 9)
        guard.add(after.pid)
        await started(guard, other_than=first)
        await guard.close()
        assert await asyncio.wait_for(before.wait(), 30) == -9
        assert await asyncio.wait_for(after.wait(), 30) == -9
