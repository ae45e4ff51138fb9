"""A replica's process: it reports, serves, drains and leaves, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.replicas import TOKEN, Peer, prompt, soon, until
from xinfer.types.cluster import Assignment, ReplicaConfig, ReplicaMessage, ReplicaReady
from xinfer.types.deployment import Deployment, LaunchSpec
from xinfer.types.event import Delta, Failed, Finished, Refused, Started
from xinfer.types.failure import Failure
from xinfer.types.model import ModelSpec

pytestmark = pytest.mark.anyio


class Process:
    """`python -m xinfer.core.replica`, as a worker starts it."""

    def __init__(
        self,
        socket: Path,
        engine: str,
        options: dict[str, Any],
        model: ModelSpec | None = None,
    ) -> None:
        self._socket = socket
        self._model = model or ModelSpec(name="m")
        status, write_end = os.pipe()
        self._status = os.fdopen(status, "rb")
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "xinfer.core.replica"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(write_end,),
        )
        os.close(write_end)
        self._write_config(write_end, engine, options)

    def _write_config(self, status_fd: int, engine: str, options: dict[str, Any]) -> None:
        deployment = Deployment(
            uid="m",
            generation=1,
            created=0,
            spec=LaunchSpec(model_name="m"),
            model=self._model,
            engine=engine,
            options=options,
            replicas=1,
            max_queue=4,
        )
        config = ReplicaConfig(
            assignment=Assignment(
                replica_id="m-0-a", ordinal=0, deployment=deployment, max_queue=4
            ),
            link_token=TOKEN,
            address=f"unix:{self._socket}",
            status_fd=status_fd,
        )
        assert self.popen.stdin is not None
        self.popen.stdin.write(msgspec.json.encode(config) + b"\n")
        self.popen.stdin.flush()

    async def message(self) -> ReplicaMessage:
        line = await asyncio.wait_for(asyncio.to_thread(self._status.readline), 20)
        return msgspec.json.decode(line, type=ReplicaMessage)

    async def ready(self) -> ReplicaReady:
        while (message := await self.message()).ready is None:
            assert message.failure is None
        return message.ready

    async def failure(self) -> Failure:
        while (message := await self.message()).failure is None:
            assert message.ready is None
        return message.failure

    async def peer(self) -> Peer:
        address = (await self.ready()).address
        assert address == f"unix:{self._socket}"
        return await Peer.at(address)

    async def exit_status(self) -> int:
        return await soon(asyncio.to_thread(self.popen.wait))

    def close(self) -> None:
        self.popen.kill()
        self.popen.communicate()
        self._status.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    started: list[Process] = []

    def start(engine: str = "echo", model: ModelSpec | None = None, **options: Any) -> Process:
        started.append(Process(tmp_path / "r.sock", engine, options, model))
        return started[-1]

    yield start
    for process in started:
        process.close()


async def test_sigterm_lets_what_runs_finish_and_then_ends_the_process(start: Any) -> None:
    process = start(token_interval=0.02)
    peer = await process.peer()
    peer.submit(1, prompt("twenty characters..."))
    await peer.event(1, Delta)
    process.popen.send_signal(signal.SIGTERM)
    await peer.event(1, Finished)
    assert "".join(e.text for e in peer.events(1) if isinstance(e, Delta)) == "twenty characters..."
    assert await process.exit_status() == 0


async def test_the_end_of_stdin_ends_what_runs_with_an_error(start: Any) -> None:
    process = start(token_interval=60)
    peer = await process.peer()
    peer.submit(1)
    await peer.event(1, Started)
    process.popen.stdin.close()
    process.popen.stdin = None
    assert (await peer.event(1, Failed)).failure.code == "draining"
    assert await process.exit_status() == 0


async def test_weights_that_are_not_allowed_here_are_not_loaded_whoever_launched_them(
    start: Any,
) -> None:
    # As from a supervisor whose administrator allows more than this machine's.
    process = start(model=ModelSpec(name="m", files=("config.json", "pytorch_model.bin")))
    failure = await process.failure()
    assert failure.code == "pickle_refused"
    assert "pytorch_model.bin" in failure.message
    assert await process.exit_status() == 1


async def test_it_leaves_at_once_while_it_loads(start: Any) -> None:
    process = start(load_seconds=600)
    assert (await process.message()).progress is not None
    process.popen.send_signal(signal.SIGTERM)
    assert await process.exit_status() == 0


async def test_an_engine_that_dies_takes_the_process_with_it_and_is_quoted(start: Any) -> None:
    process = start(commands=True)
    peer = await process.peer()
    peer.submit(1, prompt("!stall"))
    await peer.event(1, Started)
    peer.submit(2, prompt("!oom"))
    failure = await process.failure()
    assert failure.kind == "EngineFailed"
    assert "MemoryError" in failure.message
    assert await process.exit_status() == 1
    assert peer.lost is not None
    assert not any(isinstance(event, (Finished, Failed)) for event in peer.events(1))


async def test_a_load_that_fails_is_reported_in_the_engines_words(start: Any) -> None:
    process = start(fail_on_load="the weights are upside down")
    assert (await process.failure()).message == "the weights are upside down"
    assert await process.exit_status() == 1


async def test_an_engine_that_is_not_here_is_reported(start: Any) -> None:
    failure = await start("warp").failure()
    assert failure.kind == "InvalidRequest"
    assert "warp" in failure.message


@pytest.mark.parametrize("loading", [True, False])
async def test_its_waiting_room_changes_while_it_loads_and_while_it_serves(
    start: Any, loading: bool
) -> None:
    process = start(token_interval=60, concurrency=1, load_seconds=0.3 if loading else 0.0)
    peer = None if loading else await process.peer()
    for part in (b'{"max_queue":2}\n{"max_queue":9,"request', b'_limit":1}\n'):
        process.popen.stdin.write(part)
        process.popen.stdin.flush()
    peer = peer or await process.peer()
    peer.submit(1)
    await peer.event(1, Started)

    async def is_refused(number: int) -> bool:
        peer.submit(number)
        return isinstance((await until(lambda: peer.events(number)))[0], Refused)

    number = 2
    while not await is_refused(number):
        number += 1  # the update has not come yet; those before it wait
    peer.submit(100)
    await peer.event(100, Refused)
    if loading:
        assert number == 2
    process.popen.kill()
    await until(lambda: peer.lost)
