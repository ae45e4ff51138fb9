"""The process: ready when it answers, gone when asked to, with a supervisor played by the test."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from starlette.types import Receive, Scope, Send

from tests.unit.api.fakes import deployment, snapshot
from xinfer.api.server import http_config
from xinfer.core.link import Link, serve
from xinfer.settings import Settings
from xinfer.types.control import Push, ReadNodes, Reply, Seen, ToSupervisor

pytestmark = pytest.mark.anyio

TOKEN = b"0" * 32


class _Supervisor:
    """Pushes one snapshot to whoever connects, when `speak` is set."""

    def __init__(self) -> None:
        self.links: list[Link] = []

    def accept(self, link: Link) -> _Supervisor:
        self.links.append(link)
        push = Push(snapshot(deployment()))
        link.send(msgspec.msgpack.encode(push))
        return self

    def on_frame(self, link: Link, payload: bytes) -> None:
        message = msgspec.msgpack.decode(payload, type=ToSupervisor)
        if not isinstance(message, Seen):
            assert isinstance(message.operation, ReadNodes), "nothing else is asked here"
            link.send(msgspec.msgpack.encode(Reply(message.call, result=[])))

    def on_lost(self, link: Link, reason: str) -> None:
        self.links.remove(link)


@asynccontextmanager
async def _supervising(tmp_path: Path) -> AsyncIterator[None]:
    """A supervisor listens on the control link's address."""
    supervisor = _Supervisor()
    links = await serve(f"unix:{tmp_path}/control.sock", TOKEN, supervisor.accept, Settings())
    try:
        yield
    finally:
        await links.close()


class _Process:
    """A running API process; `url` answers once `ready` has returned."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"

    async def ready(self) -> None:
        assert self.process.stdout is not None
        line = await asyncio.wait_for(self.process.stdout.readline(), 60)
        assert line == b"ready {}\n"

    async def left(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 30)

    def end_stdin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


@asynccontextmanager
async def _running(tmp_path: Path, **config: object) -> AsyncIterator[_Process]:
    listener = socket.create_server(("127.0.0.1", 0))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "xinfer.api",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        pass_fds=(listener.fileno(),),
    )  # fmt: skip
    whole = {
        "control": f"unix:{tmp_path}/control.sock",
        "control_token": TOKEN.hex(),
        "sockets": [listener.fileno()],
        **config,
    }
    assert process.stdin is not None
    process.stdin.write(json.dumps(whole).encode() + b"\n")
    try:
        yield _Process(process, listener.getsockname()[1])
    finally:
        listener.close()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_it_is_ready_when_it_answers_and_leaves_on_sigterm(tmp_path: Path) -> None:
    async with _supervising(tmp_path), _running(tmp_path) as api:
        await api.ready()
        async with httpx.AsyncClient(base_url=api.url, trust_env=False) as http:
            models = (await http.get("/v1/models")).json()
            assert [model["id"] for model in models["data"]] == ["echo"]
            assert (await http.get("/readyz")).status_code == 200
        api.process.send_signal(signal.SIGTERM)
        assert await api.left() == 0


async def test_it_waits_for_the_supervisor_and_survives_its_loss(tmp_path: Path) -> None:
    async with _running(tmp_path) as api:
        async with _supervising(tmp_path):
            await api.ready()
        async with httpx.AsyncClient(base_url=api.url, trust_env=False) as http:
            for _ in range(1000):
                if (await http.get("/readyz")).status_code == 503:
                    break
            else:
                raise AssertionError("it goes on to be ready without its supervisor")
            assert (await http.get("/v1/models/echo")).status_code == 200
        api.process.send_signal(signal.SIGTERM)
        assert await api.left() == 0


async def test_it_leaves_when_its_parent_dies(tmp_path: Path) -> None:
    async with _supervising(tmp_path), _running(tmp_path) as api:
        await api.ready()
        api.end_stdin()
        assert await api.left() == 0


async def test_it_leaves_while_it_still_waits_for_the_supervisor(tmp_path: Path) -> None:
    async with _running(tmp_path) as api:
        api.end_stdin()
        assert await api.left() == 0


async def test_two_processes_add_up_their_metrics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(metrics))
    where = {"metrics_dir": str(metrics), "workers": 2}
    async with (
        _supervising(tmp_path),
        _running(tmp_path, **where) as one,
        _running(tmp_path, **where, index=1) as two,
    ):
        await asyncio.gather(one.ready(), two.ready())
        async with httpx.AsyncClient(trust_env=False) as http:
            for url in (one.url, two.url):
                await http.get(f"{url}/livez")
            text = (await http.get(f"{two.url}/metrics")).text
            live = 'xinfer_requests_total{method="GET",route="/livez",status="200"} 2.0'
            assert live in text
            one.process.kill()
            await one.left()
            text = (await http.get(f"{two.url}/metrics")).text
            assert live in text
            assert "xinfer_requests_in_flight 1.0" in text


@pytest.mark.parametrize(
    ("trusted", "peer", "believed"),
    [
        (Settings().trusted_proxies, "127.0.0.1", True),
        (Settings().trusted_proxies, "::1", True),
        (Settings().trusted_proxies, "10.0.0.7", False),
        ("10.0.0.0/8, 192.168.1.1", "10.0.0.7", True),
        ("10.0.0.0/8, 192.168.1.1", "192.168.1.1", True),
        ("10.0.0.0/8, 192.168.1.1", "127.0.0.1", False),
        ("*", "10.0.0.7", True),
        ("", "127.0.0.1", False),
    ],
)
async def test_what_a_proxy_says_of_its_client_is_believed_of_those_that_are_named(
    trusted: str, peer: str, believed: bool
) -> None:
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)

    config = http_config(app, Settings(trusted_proxies=trusted))
    config.load()
    headers = [(b"x-forwarded-proto", b"https"), (b"x-forwarded-for", b"203.0.113.9")]
    came = {"type": "http", "scheme": "http", "client": (peer, 4711), "headers": headers}
    await config.loaded_app(came, None, None)  # type: ignore[arg-type]
    (scope,) = scopes
    said = (scope["scheme"], scope["client"][0])
    assert said == (("https", "203.0.113.9") if believed else ("http", peer))


def test_numpy_is_not_imported_before_there_are_numbers_to_answer() -> None:
    program = "import sys, xinfer.api.__main__\nassert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
