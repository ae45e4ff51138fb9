"""The supervisor's process: its start, its two doors and its end."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.core.supervisor.store.support import with_store
from tests.unit.core.supervisor.support import deployment
from xinfer.core.exits import REFUSES_TO_START
from xinfer.core.link import Link, connect
from xinfer.settings import Settings
from xinfer.types.control import FromSupervisor, Push
from xinfer.types.deployment import Snapshot

TOKEN = secrets.token_bytes(32)


class Listener:
    def __init__(self) -> None:
        self.snapshot: asyncio.Future[Snapshot] = asyncio.get_running_loop().create_future()

    def on_frame(self, link: Link, payload: bytes) -> None:
        message = msgspec.msgpack.decode(payload, type=FromSupervisor)
        assert isinstance(message, Push)
        if not self.snapshot.done():
            self.snapshot.set_result(message.snapshot)

    def on_lost(self, link: Link, reason: str) -> None:
        return


class Child:
    def __init__(self, directory: Path, **config: Any) -> None:
        self.control = f"unix:{directory / 'supervisor.sock'}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "xinfer.core.supervisor"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "XINFERENCE_HOME": str(directory / "home")},
        )
        made = {
            "control": self.control,
            "control_token": TOKEN.hex(),
            "cluster_token": secrets.token_hex(32),
            "host": "127.0.0.1",
            "port": 0,
        }
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({**made, **config}).encode() + b"\n")
        self.process.stdin.flush()

    def ready(self) -> dict[str, str]:
        assert self.process.stdout is not None
        word, _, facts = self.process.stdout.readline().decode().partition(" ")
        assert word == "ready"
        return dict(json.loads(facts))

    def ends(self) -> tuple[int, str]:
        """Exit status and log."""
        assert self.process.stderr is not None
        log = self.process.stderr.read().decode()
        return self.process.wait(20), log

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        self.process.wait(20)


def look(child: Child) -> Snapshot:
    """The first snapshot that it pushes."""

    async def main() -> Snapshot:
        listener = Listener()
        link = await connect(child.control, TOKEN, listener, Settings())
        snapshot = await asyncio.wait_for(listener.snapshot, 10)
        link.close()
        return snapshot

    return asyncio.run(main())


@pytest.fixture
def directory() -> Iterator[Path]:
    # A socket's path has to be short.
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


@pytest.fixture
def child(directory: Path) -> Iterator[Child]:
    made = Child(directory)
    yield made
    made.close()


def test_it_serves_the_control_link_and_leaves_with_0_on_sigterm(child: Child) -> None:
    host, _, port = child.ready()["address"].rpartition(":")
    assert host == "127.0.0.1"
    assert int(port) > 0

    snapshot = look(child)
    assert (snapshot.deployments, snapshot.workers, snapshot.draining) == ({}, 0, False)
    child.process.send_signal(signal.SIGTERM)
    status, log = child.ends()
    assert status == 0, log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("restarted", "restore", "wanted"),
    [(False, "1", {"kept"}), (False, "0", set()), (True, "0", {"kept"})],
)
def test_it_wants_what_the_store_holds_unless_it_is_told_not_to_at_a_start(
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    restarted: bool,
    restore: str,
    wanted: set[str],
) -> None:
    with_store(directory / "home", lambda store: store.put(deployment("kept")))
    monkeypatch.setenv("XINFERENCE_RESTORE", restore)
    monkeypatch.setenv("XINFERENCE_HEARTBEAT_INTERVAL", "0.1")
    child = Child(directory, restarted=restarted)
    child.ready()
    assert set(look(child).deployments) == wanted
    child.process.send_signal(signal.SIGTERM)
    status, log = child.ends()
    child.close()
    assert status == 0, log


def test_it_leaves_when_its_parent_has_died(child: Child) -> None:
    child.ready()
    assert child.process.stdin is not None
    child.process.stdin.close()
    status, log = child.ends()
    assert status == 0, log
    assert "Traceback" not in log


def test_it_refuses_to_listen_beyond_this_machine(directory: Path) -> None:
    child = Child(directory, host="0.0.0.0")
    status, log = child.ends()
    child.close()
    assert status != 0
    assert "loopback" in log


def test_a_second_one_on_the_same_home_says_who_has_it_and_that_it_is_of_no_use(
    child: Child, directory: Path
) -> None:
    child.ready()
    second = Child(directory, control=f"unix:{directory / 'second.sock'}")
    status, log = second.ends()
    second.close()
    assert status == REFUSES_TO_START
    assert f"{directory / 'home'} is in use" in log
    assert f"process {child.process.pid}" in log
    assert "XINFERENCE_HOME=" in log
    assert "Traceback" not in log
