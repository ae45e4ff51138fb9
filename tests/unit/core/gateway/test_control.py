"""The control link: operations, answers, snapshots, and a supervisor that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from tests.support.replicas import TOKEN, soon, until
from tests.support.snapshots import deployment_status, snapshot
from xinfer.core.gateway import Control, RoutingTable
from xinfer.core.link import Link, LinkServer, serve
from xinfer.errors import NotFound, Unavailable
from xinfer.settings import Settings
from xinfer.types.control import Call, Push, ReadNodes, Reply, Seen, Terminate, ToSupervisor
from xinfer.types.deployment import Snapshot
from xinfer.types.failure import Failure

pytestmark = pytest.mark.anyio
SETTINGS = Settings()


class Supervisor:
    """The other end: pushes a snapshot to each link, and answers calls as the test says."""

    def __init__(self, path: Path) -> None:
        self.address = f"unix:{path}"
        self.links: list[Link] = []
        self.accepted: list[float] = []
        self.calls: list[Call] = []
        self.seen: list[int] = []
        self.answer: Callable[[Call], Reply | None] = lambda call: Reply(call.call, result="done")
        self.greeting: bytes = msgspec.msgpack.encode(Push(snapshot()))
        self._server: LinkServer | None = None

    async def start(self) -> None:
        self._server = await serve(self.address, TOKEN, self._accept, SETTINGS)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.close()

    def push(self, state: Snapshot) -> None:
        self.links[-1].send(msgspec.msgpack.encode(Push(state)))

    def _accept(self, link: Link) -> Supervisor:
        loop = asyncio.get_running_loop()
        self.links.append(link)
        self.accepted.append(loop.time())
        loop.call_soon(link.send, self.greeting)
        return self

    def on_frame(self, link: Link, payload: bytes) -> None:
        call = msgspec.msgpack.decode(payload, type=ToSupervisor)
        if isinstance(call, Seen):
            self.seen.append(call.version)
            return
        self.calls.append(call)
        reply = self.answer(call)
        if reply is not None:
            link.send(msgspec.msgpack.encode(reply))

    def on_lost(self, link: Link, reason: str) -> None:
        self.links.remove(link)


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Supervisor]:
    made = Supervisor(tmp_path / "s.sock")
    await made.start()
    yield made
    await made.stop()


@contextlib.asynccontextmanager
async def controlled(
    supervisor: Supervisor, settings: Settings = SETTINGS
) -> AsyncIterator[tuple[Control, RoutingTable]]:
    table = RoutingTable()
    control = Control(supervisor.address, TOKEN, table, settings)
    control.start()
    try:
        yield control, table
    finally:
        await soon(control.close())


async def away(control: Control) -> Unavailable:
    with pytest.raises(Unavailable) as error:
        await soon(control.call(ReadNodes()))
    return error.value


async def test_the_first_snapshot_comes_by_itself_and_later_ones_replace_it(
    supervisor: Supervisor,
) -> None:
    async with controlled(supervisor) as (_, table):
        assert not table.connected
        await until(lambda: table.connected, "the snapshot")
        assert table.deployments() == []
        supervisor.push(snapshot(deployment_status("m"), version=2))
        await until(table.deployments, "the deployment")
        await until(lambda: supervisor.seen == [1, 2], "the word that both are known")


async def test_calls_are_answered_each_with_its_own(supervisor: Supervisor) -> None:
    def answer(call: Call) -> Reply:
        assert isinstance(call.operation, Terminate)
        return Reply(call.call, result=call.operation.uid.upper())

    supervisor.answer = answer
    async with controlled(supervisor) as (control, table):
        await until(lambda: table.connected, "the snapshot")
        answers = await soon(asyncio.gather(*(control.call(Terminate(uid)) for uid in "abc")))
        assert answers == ["A", "B", "C"]


async def test_a_failure_is_raised_as_it_was(supervisor: Supervisor) -> None:
    failure = Failure.of(NotFound("There is no model 'm'.", code="model_not_found", param="model"))
    supervisor.answer = lambda call: Reply(call.call, failure=failure)
    async with controlled(supervisor) as (control, table):
        await until(lambda: table.connected, "the snapshot")
        with pytest.raises(NotFound) as error:
            await soon(control.call(Terminate("m")))
        assert Failure.of(error.value) == failure


async def test_without_a_supervisor_calls_fail_at_once(tmp_path: Path) -> None:
    async with controlled(Supervisor(tmp_path / "nobody.sock")) as (control, table):
        error = await away(control)
        assert error.code == "control_unavailable"
        assert error.retry_after
        assert not table.connected


async def test_calls_in_flight_fail_when_the_supervisor_goes_and_routing_stays(
    supervisor: Supervisor,
) -> None:
    supervisor.answer = lambda call: None
    async with controlled(supervisor) as (control, table):
        await until(lambda: table.connected, "the snapshot")
        calls = [asyncio.create_task(control.call(ReadNodes())) for _ in range(3)]
        await until(lambda: len(supervisor.calls) == 3, "the calls")
        await supervisor.stop()
        for call in calls:
            with pytest.raises(Unavailable):
                await soon(call)
        assert not table.connected
        assert table.snapshot is not None
        await away(control)


async def test_a_supervisor_that_does_not_answer_in_time_counts_as_away(
    supervisor: Supervisor,
) -> None:
    supervisor.answer = lambda call: None
    settings = dataclasses.replace(SETTINGS, control_timeout=0.02)
    async with controlled(supervisor, settings) as (control, table):
        await until(lambda: table.connected, "the snapshot")
        assert (await away(control)).code == "control_unavailable"


async def test_it_connects_again_when_the_supervisor_is_back(supervisor: Supervisor) -> None:
    async with controlled(supervisor) as (control, table):
        await until(lambda: table.connected, "the snapshot")
        await supervisor.stop()
        await until(lambda: not table.connected, "the loss")
        await supervisor.start()
        await until(lambda: table.connected, "the snapshot of the new one")
        assert await soon(control.call(ReadNodes())) == "done"


async def test_a_malformed_frame_ends_the_link_and_is_not_answered_by_a_storm(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    sound, supervisor.greeting = supervisor.greeting, b"\xc1 no message"
    async with controlled(supervisor) as (_, table):
        await until(lambda: len(supervisor.accepted) == 3, "three attempts")
        assert "malformed" in caplog.text
        assert not table.connected
        first, second, third = supervisor.accepted
        assert min(second - first, third - second) > 0.03
        supervisor.greeting = sound
        await until(lambda: table.connected, "a sound snapshot")


async def test_closing_says_nothing_of_a_loss(
    supervisor: Supervisor, caplog: pytest.LogCaptureFixture
) -> None:
    async with controlled(supervisor) as (_, table):
        await until(lambda: table.connected, "the snapshot")
    await until(lambda: not supervisor.links, "the end of the link")
    assert "Lost the supervisor" not in caplog.text


async def test_an_answer_to_nobody_is_ignored(supervisor: Supervisor) -> None:
    async with controlled(supervisor) as (control, table):
        await until(lambda: table.connected, "the snapshot")
        supervisor.links[-1].send(msgspec.msgpack.encode(Reply(999, result="late")))
        assert await soon(control.call(ReadNodes())) == "done"
