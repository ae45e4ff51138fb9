"""The worker as a process: joins, says so, and leaves in order."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from xinfer.core.actors import RemoteActor, create_pool, xo
from xinfer.core.exits import REFUSES_TO_START
from xinfer.core.security import new_token
from xinfer.settings import Settings
from xinfer.types.cluster import (
    SUPERVISOR_ACTOR,
    WORKER_ACTOR,
    ReadReplicaLog,
    ReportReply,
    WorkerReport,
)

pytestmark = pytest.mark.anyio


class Supervisor(xo.StatelessActor):  # type: ignore[misc]
    def __init__(self, reports: asyncio.Queue[WorkerReport]) -> None:
        super().__init__()
        self._reports = reports

    async def report(self, payload: bytes) -> bytes:
        self._reports.put_nowait(msgspec.msgpack.decode(payload, type=WorkerReport))
        return msgspec.msgpack.encode(ReportReply(link_token=b"t" * 32))


@asynccontextmanager
async def supervisor(token: bytes) -> AsyncIterator[tuple[str, asyncio.Queue[WorkerReport]]]:
    """A supervisor's address, and what it hears."""
    pool = await create_pool("127.0.0.1", 0, token, Settings())
    reports: asyncio.Queue[WorkerReport] = asyncio.Queue()
    try:
        await xo.create_actor(
            Supervisor, reports, uid=SUPERVISOR_ACTOR, address=pool.external_address
        )
        yield pool.external_address, reports
    finally:
        await pool.stop()


@asynccontextmanager
async def worker(**config: Any) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "xinfer.core.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps({"host": "127.0.0.1", "port": 0, **config}).encode() + b"\n")
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def api(address: str) -> AsyncIterator[str]:
    """The URL of a server whose supervisor is at this address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(address).encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def ready(process: asyncio.subprocess.Process) -> str:
    """The address that the worker announces."""
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    word, _, facts = line.decode().partition(" ")
    assert word == "ready"
    return str(json.loads(facts)["address"])


async def last_report(reports: asyncio.Queue[WorkerReport]) -> WorkerReport:
    async def wait() -> WorkerReport:
        while not (report := await reports.get()).leaving:
            pass
        return report

    return await asyncio.wait_for(wait(), 10)


async def test_it_joins_answers_and_leaves_on_sigterm(tmp_path: Path) -> None:
    token = new_token()
    async with (
        supervisor(token) as (address, reports),
        worker(supervisor=address, cluster_token=token.hex(), run_dir=str(tmp_path)) as process,
    ):
        announced = await ready(process)
        assert (await reports.get()).address == announced
        question = ReadReplicaLog(replica_id="unknown", lines=5)
        answer = await RemoteActor(announced, WORKER_ACTOR, 10.0).call(
            "logs", msgspec.msgpack.encode(question)
        )
        assert msgspec.msgpack.decode(answer) == []
        process.terminate()
        await last_report(reports)
        _, errors = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0, errors.decode()
        assert b"Xinference worker successfully started." in errors
        assert b"Traceback" not in errors


async def test_it_leaves_when_its_launcher_has_died(tmp_path: Path) -> None:
    token = new_token()
    async with (
        supervisor(token) as (address, reports),
        worker(supervisor=address, cluster_token=token.hex(), run_dir=str(tmp_path)) as process,
    ):
        await ready(process)
        assert process.stdin is not None
        process.stdin.close()
        await last_report(reports)
        await asyncio.wait_for(process.wait(), 20)
        assert process.returncode == 0


async def test_it_leaves_and_has_its_server_stopped_when_the_supervisor_asks(
    tmp_path: Path,
) -> None:
    token = new_token()
    async with (
        supervisor(token) as (address, reports),
        worker(supervisor=address, cluster_token=token.hex(), run_dir=str(tmp_path)) as process,
    ):
        announced = await ready(process)
        await RemoteActor(announced, WORKER_ACTOR, 10.0).call("leave")
        await last_report(reports)
        output, errors = await asyncio.wait_for(process.communicate(), 20)
        assert output == b"stop\n", errors.decode()
        assert process.returncode == 0


async def test_it_gives_up_at_once_on_a_supervisor_with_another_token(tmp_path: Path) -> None:
    async with (
        supervisor(new_token()) as (address, _),
        worker(
            supervisor=address, cluster_token=new_token().hex(), run_dir=str(tmp_path)
        ) as process,
    ):
        output, errors = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == REFUSES_TO_START
        assert output == b""
        assert b"our token is not its token" in errors
        assert b"Traceback" not in errors


async def test_on_all_addresses_it_has_the_one_that_leads_to_the_supervisor() -> None:
    token = new_token()
    async with supervisor(token) as (address, reports), api(address) as url:
        labels = {"rack": "3"}
        config = {"endpoint": url, "host": "0.0.0.0", "exposed": True, "labels": labels}
        async with worker(cluster_token=token.hex(), **config) as process:
            announced = await ready(process)
            assert announced.startswith("127.0.0.1:")
            report = await reports.get()
            assert (report.address, report.labels) == (announced, labels)


async def test_it_can_be_stopped_before_a_supervisor_has_answered(tmp_path: Path) -> None:
    async with worker(
        supervisor="127.0.0.1:1", cluster_token=new_token().hex(), run_dir=str(tmp_path)
    ) as process:
        assert process.stderr is not None
        while b"Trying again" not in (
            line := await asyncio.wait_for(process.stderr.readline(), 30)
        ):
            assert line, "it has left"
        process.terminate()
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        assert process.returncode == 0
        assert output == b""


async def test_a_configuration_that_is_not_understood_is_told(tmp_path: Path) -> None:
    async with worker(supervisor=5) as process:
        _, errors = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 1
        assert b"The configuration on stdin is not understood" in errors
        assert b"Traceback" not in errors
