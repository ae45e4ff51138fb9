"""The control link's server, over a real unix socket."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.core.supervisor.support import (
    READY,
    FakeWorkers,
    MemoryStore,
    assignment,
    cluster_state,
    replica,
    report,
    run,
    until,
)
from xinfer.core.link import Link, connect
from xinfer.core.supervisor import control as control_module
from xinfer.core.supervisor.control import ControlServer
from xinfer.core.supervisor.declarations import Declarations
from xinfer.core.supervisor.events import EventLog
from xinfer.core.supervisor.inquiries import Inquiries
from xinfer.core.supervisor.members import Members
from xinfer.core.supervisor.registrations import Registrations
from xinfer.core.supervisor.service import DeploymentService
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.host import Host
from xinfer.model.catalog.resolve import Resolved
from xinfer.settings import Settings
from xinfer.types.control import (
    AwaitSeen,
    Call,
    CancelLaunch,
    FromSupervisor,
    Launch,
    Operation,
    Push,
    ReadEvents,
    ReadLogs,
    ReadNodes,
    Reply,
    Scale,
    Seen,
    Terminate,
)
from xinfer.types.deployment import LaunchSpec
from xinfer.types.failure import Failure
from xinfer.types.model import ModelSpec

TOKEN = b"t" * 32
SETTINGS = Settings(handshake_timeout=5.0)


class Peer:
    """An API process's end of the control link."""

    def __init__(self) -> None:
        self.pushes: list[Push] = []
        self.replies: dict[int, Reply] = {}
        self.lost = ""
        self.link: Link | None = None

    def on_frame(self, link: Link, payload: bytes) -> None:
        message = msgspec.msgpack.decode(payload, type=FromSupervisor)
        if isinstance(message, Push):
            self.pushes.append(message)
        else:
            self.replies[message.call] = message

    def on_lost(self, link: Link, reason: str) -> None:
        self.lost = reason

    def send(self, number: int, operation: Operation) -> None:
        self.send_raw(msgspec.msgpack.encode(Call(number, operation)))

    def send_raw(self, payload: bytes) -> None:
        assert self.link is not None
        self.link.send(payload)

    def seen(self, version: int) -> None:
        self.send_raw(msgspec.msgpack.encode(Seen(version)))

    async def ask(self, number: int, operation: Operation) -> Reply:
        self.send(number, operation)
        await until(lambda: number in self.replies)
        return self.replies[number]


class House:
    """A control server with a service of fakes; every commit is published."""

    def __init__(self, path: Path) -> None:
        self.address = f"unix:{path / 'control.sock'}"
        self.state = cluster_state()
        self.go = threading.Event()
        self.go.set()
        self.resolving = False
        store = MemoryStore()
        self.service = DeploymentService(
            self.state,
            store,
            FakeWorkers(),
            SETTINGS,
            resolve=self.resolve,
            changed=self.publish,
            monotonic=lambda: 0.0,
            unix_now=lambda: 0.0,
        )
        self.members = Members(self.state, FakeWorkers(), lambda: 0.0)
        self.events = EventLog(logging.getLogger("xinfer.test"), lambda: 7.0)
        self.declarations = Declarations(
            self.state, store, self.service, None, monotonic=lambda: 0.0, unix_now=lambda: 0.0
        )
        self.server = ControlServer(
            self.service,
            self.declarations,
            self.members,
            Registrations(Catalogue(), store, path),
            self.events,
            Inquiries(
                self.state, FakeWorkers(), lambda spec, host: {spec.model_name: "no"}, lambda: 0.0
            ),
            SETTINGS,
        )

    def resolve(self, spec: LaunchSpec, host: Host) -> Resolved:
        self.resolving = True
        assert self.go.wait(10)
        if spec.model_name == "broken":
            raise RuntimeError("no disk")
        return Resolved(ModelSpec(name=spec.model_name), "echo", {})

    def publish(self) -> None:
        self.server.publish(self.state.snapshot())

    async def peer(self) -> Peer:
        peer = Peer()
        peer.link = await connect(self.address, TOKEN, peer, SETTINGS)
        return peer


@asynccontextmanager
async def house(*, knows: bool = True) -> AsyncIterator[House]:
    """With `knows` False nothing has been published yet."""
    with tempfile.TemporaryDirectory() as directory:
        made = House(Path(directory))
        await made.server.open(made.address, TOKEN)
        if knows:
            made.publish()
        try:
            yield made
        finally:
            made.go.set()
            await made.server.close()


def echo(uid: str, **fields: Any) -> Launch:
    return Launch(LaunchSpec(model_name="echo", model_uid=uid, **fields))


def test_a_new_link_gets_the_snapshot_by_itself() -> None:
    async def main() -> None:
        async with house() as home:
            peer = await home.peer()
            await until(lambda: peer.pushes)
            assert peer.pushes[0].snapshot == home.state.snapshot()

    run(main)


def test_every_operation_is_answered_under_its_number() -> None:
    async def main() -> None:
        async with house() as home:
            peer = await home.peer()
            assert await peer.ask(1, echo("m")) == Reply(1, result="m")
            home.state.apply(report(replica(assignment(home.state.desired["m"]))), 0.0)
            logs = await peer.ask(2, ReadLogs("m", 3))
            assert logs.result == [{"replica_id": "r", "ordinal": 0, "lines": ["r at 127.0.0.1:1"]}]
            nodes = await peer.ask(3, ReadNodes())
            assert nodes.result[0]["address"] == "127.0.0.1:1"
            home.events.add(logging.INFO, "It runs.", model="m")
            events = await peer.ask(6, ReadEvents("m"))
            (event,) = events.result
            assert (event["at"], event["text"]) == (7.0, "It runs.")
            assert (await peer.ask(7, ReadEvents("n"))).result == []
            assert await peer.ask(8, Scale("m", replicas=2)) == Reply(8, result=2)
            assert await peer.ask(9, Scale("m", 1, 5)) == Reply(9, result=1)
            assert home.state.desired["m"].max_queue == 5
            refused = await peer.ask(4, CancelLaunch("m"))
            assert refused.failure is not None
            assert refused.failure.kind == "Conflict"
            assert await peer.ask(5, Terminate("m")) == Reply(5)

    run(main)


def test_a_refusal_comes_as_the_failure_of_its_call() -> None:
    async def main() -> None:
        async with house() as home:
            peer = await home.peer()
            unknown = await peer.ask(1, Terminate("m"))
            assert unknown.failure is not None
            assert (unknown.failure.kind, unknown.failure.code) == ("NotFound", "model_not_found")
            bad = await peer.ask(2, echo("a/b"))
            assert bad.failure is not None
            assert bad.failure.param == "model_uid"

    run(main)


def test_a_fault_of_ours_is_answered_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with house() as home:
            peer = await home.peer()
            reply = await peer.ask(1, Launch(LaunchSpec(model_name="broken")))
            expected = Failure("EngineFailed", "RuntimeError: no disk", "engine_error")
            assert reply.failure == expected
            assert "The operation Launch failed" in caplog.text

    run(main)


def test_a_change_is_pushed_to_every_link_and_a_burst_as_few() -> None:
    async def main() -> None:
        async with house() as home:
            peers = [await home.peer(), await home.peer()]
            await until(lambda: all(each.pushes for each in peers))
            for number in range(30):
                peers[0].send(number, echo(f"m{number}"))
            await until(lambda: len(peers[0].replies) == 30)
            last = home.state.snapshot()
            await until(lambda: all(each.pushes[-1].snapshot == last for each in peers))
            for peer in peers:
                versions = [each.snapshot.version for each in peer.pushes]
                assert versions == sorted(set(versions))
                assert len(versions) < 30
            home.publish()
            await peers[0].ask(99, ReadNodes())
            assert peers[0].pushes[-1].snapshot.version == last.version

    run(main)


def test_a_first_change_is_pushed_at_once() -> None:
    async def main() -> None:
        async with house() as home:
            peer = await home.peer()
            await until(lambda: peer.pushes)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            peer.send(1, echo("m"))
            await until(lambda: len(peer.pushes) == 2)
            assert "m" in peer.pushes[1].snapshot.deployments
            # Far less than the interval between two pushes would add on an idle machine.
            assert loop.time() - begun < 5.0

    run(main)


def test_it_tells_when_every_api_process_knows_a_snapshot() -> None:
    async def main() -> None:
        async with house() as home:
            quick, slow = await home.peer(), await home.peer()
            quick.send(1, AwaitSeen(5))
            for version in (4, 5, 6):
                quick.seen(version)
            slow.seen(4)
            await quick.ask(2, ReadNodes())
            await slow.ask(3, ReadNodes())
            assert 1 not in quick.replies
            slow.seen(5)
            await until(lambda: 1 in quick.replies)
            assert await quick.ask(4, AwaitSeen(5)) == Reply(4, result=5)

    run(main)


def test_without_a_version_it_tells_when_all_that_was_done_is_known() -> None:
    async def main() -> None:
        async with house() as home:
            peer = await home.peer()
            done = await peer.ask(1, Launch(LaunchSpec(model_name="echo")))
            assert done.failure is None
            peer.send(2, AwaitSeen())
            await peer.ask(3, ReadNodes())
            assert 2 not in peer.replies
            version = home.state.snapshot().version
            peer.seen(version)
            await until(lambda: 2 in peer.replies)
            assert peer.replies[2] == Reply(2, result=version)

    run(main)


def test_an_api_process_that_leaves_or_hangs_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async with house() as home:
            asking, other = await home.peer(), await home.peer()
            asking.seen(5)
            asking.send(1, AwaitSeen(5))
            await asking.ask(2, ReadNodes())
            assert 1 not in asking.replies
            assert other.link is not None
            other.link.close()
            await until(lambda: 1 in asking.replies)
            await home.peer()  # one that never says that it knows anything
            monkeypatch.setattr(control_module, "SEEN_WITHIN", 0.02)
            assert await asking.ask(3, AwaitSeen(5)) == Reply(3, result=5)

    monkeypatch.setattr(control_module, "SEEN_WITHIN", 600.0)
    run(main)


def test_nothing_is_pushed_before_something_is_known_but_operations_are_answered() -> None:
    async def main() -> None:
        async with house(knows=False) as home:
            peer = await home.peer()
            assert (await peer.ask(1, ReadNodes())).result == []
            assert peer.pushes == []
            home.publish()
            await until(lambda: peer.pushes)
            other = await home.peer()
            await until(lambda: other.pushes)

    run(main)


def test_an_operation_goes_on_although_its_link_ends() -> None:
    async def main() -> None:
        async with house() as home:
            peer = await home.peer()
            home.go.clear()
            peer.send(1, echo("m"))
            await until(lambda: home.resolving)
            assert peer.link is not None
            peer.link.close()
            await until(lambda: peer.lost)
            home.go.set()
            await until(lambda: "m" in home.state.desired)
            other = await home.peer()
            await until(lambda: other.pushes)
            assert "m" in other.pushes[-1].snapshot.deployments

    run(main)


def test_an_operation_that_is_not_understood_is_refused() -> None:
    async def main() -> None:
        async with house() as home:
            peer = await home.peer()
            unknown = {"type": "call", "call": 7, "operation": {"type": "explode"}}
            peer.send_raw(msgspec.msgpack.encode(unknown))
            await until(lambda: 7 in peer.replies)
            failure = peer.replies[7].failure
            assert failure is not None
            assert failure.kind == "InvalidRequest"
            peer.send_raw(b"\xc1 no message")
            await until(lambda: peer.lost)

    run(main)


def test_closing_pushes_what_is_new_and_ends_what_runs() -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        async with house() as home:
            peer = await home.peer()
            await peer.ask(1, echo("m"))
            home.state.apply(report(replica(assignment(home.state.desired["m"]))), 0.0)
            home.publish()
            home.go.clear()
            home.resolving = False
            peer.send(2, echo("n"))
            await until(lambda: home.resolving)
        await until(lambda: peer.lost)
        assert peer.pushes[-1].snapshot.deployments["m"].state is READY
        assert "n" not in home.state.desired
        assert asyncio.all_tasks() == before

    run(main)
