"""The actor channel: authenticated before anything is unpickled, one socket, light to import."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pickle
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import pytest

from xinfer.core.actors import TOKEN_REFUSED, RemoteActor, create_pool, xo
from xinfer.core.security import new_token
from xinfer.errors import Conflict, InvalidRequest, Unavailable
from xinfer.settings import Settings

PEER = Path(__file__).with_name("actor_peer.py")


class Local(xo.StatelessActor):  # type: ignore[misc]
    async def reverse(self, payload: bytes) -> bytes:
        return payload[::-1]


@asynccontextmanager
async def local_pool(token: bytes, settings: Settings | None = None) -> AsyncIterator[Any]:
    pool = await create_pool("127.0.0.1", 0, token, settings or Settings())
    try:
        await xo.create_actor(Local, uid="local", address=pool.external_address)
        yield pool
    finally:
        await pool.stop()


@contextmanager
def peer_process(token: bytes, *program: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process with the actor `peer` (or another program), and its address."""
    process = subprocess.Popen(
        [sys.executable, *(program or (str(PEER),)), token.hex()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_process_with_the_token_is_served() -> None:
    token = new_token()

    async def run(address: str) -> None:
        async with local_pool(token):
            payload = os.urandom(100_000)
            assert await RemoteActor(address, "peer", 10.0).call("echo", payload) == payload

    with peer_process(token) as (_, address):
        asyncio.run(run(address))


def test_what_a_method_raises_arrives_whole_and_as_its_own_class() -> None:
    token = new_token()

    async def run(address: str) -> None:
        async with local_pool(token):
            with pytest.raises(Conflict) as raised:
                await RemoteActor(address, "peer", 10.0).call("refuse")
        error = raised.value
        assert type(error) is Conflict
        assert (error.message, error.code, error.retry_after) == ("taken", "special", 7.0)
        assert error.details == {"by": "a"}

    with peer_process(token) as (_, address):
        asyncio.run(run(address))


def test_a_process_with_another_token_is_told_what_is_wrong() -> None:
    async def run(address: str) -> None:
        async with local_pool(new_token()):
            with pytest.raises(Unavailable, match="our token is not its token") as raised:
                await RemoteActor(address, "peer", 10.0).call("echo")
            assert raised.value.code == TOKEN_REFUSED

    with peer_process(new_token()) as (_, address):
        asyncio.run(run(address))


def test_a_call_in_flight_fails_soon_after_the_peers_death() -> None:
    token = new_token()

    async def run(process: subprocess.Popen[str], address: str) -> float:
        async with local_pool(token):
            peer = RemoteActor(address, "peer", 600.0)
            await peer.call("echo")
            call = asyncio.ensure_future(peer.call("hang"))
            await peer.call("echo")
            process.kill()
            killed = monotonic()
            with pytest.raises(Unavailable):
                await call
            with pytest.raises(Unavailable):
                await peer.call("echo")
            return monotonic() - killed

    with peer_process(token) as (process, address):
        assert asyncio.run(run(process, address)) < 10.0


def test_a_call_without_an_answer_ends_at_its_deadline() -> None:
    token = new_token()

    async def run(address: str) -> None:
        async with local_pool(token):
            with pytest.raises(Unavailable, match=r"no answer within 0\.2 s"):
                await RemoteActor(address, "peer", 0.2).call("hang")
            assert await RemoteActor(address, "peer", 10.0).call("echo", b"on") == b"on"

    with peer_process(token) as (_, address):
        asyncio.run(run(address))


def test_a_hung_process_does_not_hold_a_call_past_its_deadline() -> None:
    token = new_token()

    async def run(process: subprocess.Popen[str], address: str) -> float:
        async with local_pool(token):
            peer = RemoteActor(address, "peer", 0.3)
            await peer.call("echo")
            psutil.Process(process.pid).suspend()
            asked = monotonic()
            with pytest.raises(Unavailable):
                await peer.call("echo")
            return monotonic() - asked

    with peer_process(token) as (process, address):
        assert asyncio.run(run(process, address)) < 10.0


def test_a_call_given_up_while_it_connects_leaves_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = new_token()
    dropped: list[Any] = []  # connections that nobody holds and nobody has closed
    monkeypatch.setattr(sys, "unraisablehook", dropped.append)

    async def run(address: str) -> None:
        for turns in range(30):
            async with local_pool(token):
                call = asyncio.ensure_future(RemoteActor(address, "peer", 10.0).call("echo"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                call.cancel()
                await asyncio.wait({call})
            gc.collect()

    with peer_process(token) as (_, address):
        asyncio.run(run(address))
    assert dropped == []


def test_only_one_tcp_socket_listens() -> None:
    token = new_token()
    with peer_process(token) as (process, address):
        sockets = psutil.Process(process.pid).net_connections(kind="all")
        listening = [s for s in sockets if s.status == psutil.CONN_LISTEN]
        assert [f"{s.laddr.ip}:{s.laddr.port}" for s in listening] == [address]
        assert not [s for s in sockets if s.family == socket.AF_UNIX and s.laddr]


def test_a_pool_listens_on_ipv6_loopback_too() -> None:
    async def run() -> None:
        pool = await create_pool("::1", 0, new_token(), Settings())
        try:
            await xo.create_actor(Local, uid="local", address=pool.external_address)
            local = RemoteActor(pool.external_address, "local", 10.0)
            assert await local.call("reverse", b"ab") == b"ba"
        finally:
            await pool.stop()

    asyncio.run(run())


def test_a_pool_on_all_addresses_is_reached_by_each_and_calls_itself_by_loopback() -> None:
    async def run() -> None:
        pool = await create_pool("0.0.0.0", 0, new_token(), Settings(), exposed=True)
        try:
            await xo.create_actor(Local, uid="local", address=pool.external_address)
            host, _, port = pool.external_address.rpartition(":")
            assert host == "127.0.0.1"
            for name in ("127.0.0.1", "127.0.0.2", "localhost"):
                assert await RemoteActor(f"{name}:{port}", "local", 10.0).call("reverse", b"ab")
        finally:
            await pool.stop()

    asyncio.run(run())


def test_a_host_beyond_loopback_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"cannot listen on '0\.0\.0\.0'"):
        asyncio.run(create_pool("0.0.0.0", 0, new_token(), Settings()))


class Gadget:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.path),))


def xoscar_frame(content: object) -> bytes:
    """A frame as xoscar reads it: version, length, no compression, and a header it unpickles."""
    header = pickle.dumps(content)
    return struct.pack("<BQH", 1, len(header), 0) + header


def send_and_hang_up(address: str, data: bytes) -> None:
    """Send bytes, and wait until the other side has closed the connection."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass


@pytest.mark.parametrize("opening", [b"", b"xinfer/1 actor  " + bytes(32) + bytes(32)])
def test_a_pickle_from_a_stranger_is_not_run(tmp_path: Path, opening: bytes) -> None:
    with peer_process(new_token()) as (_, address):
        send_and_hang_up(address, opening + xoscar_frame(Gadget(tmp_path / "ran")))
    assert not (tmp_path / "ran").exists()


UNPROTECTED = """
import asyncio, sys
import xoscar as xo
async def main():
    pool = await xo.create_actor_pool(
        "127.0.0.1:0", n_process=0, enable_internal_addresses=[False])
    print(pool.external_address, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
asyncio.run(main())
"""


def test_the_same_pickle_does_run_on_a_channel_without_the_handshake(tmp_path: Path) -> None:
    with peer_process(new_token(), "-c", UNPROTECTED) as (_, address):
        send_and_hang_up(address, xoscar_frame(Gadget(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


def test_a_silent_peer_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with local_pool(new_token(), Settings(handshake_timeout=0.2)) as pool:
            host, _, port = pool.external_address.rpartition(":")
            reader, writer = await asyncio.open_connection(host, int(port))
            assert await asyncio.wait_for(reader.read(), 30) == b""
            writer.close()

    asyncio.run(run())
    assert "on the actor channel: silent for 0.2 s" in caplog.text


def test_a_server_that_never_answers_the_handshake_is_given_up() -> None:
    async def run() -> None:
        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, local_pool(new_token(), Settings(handshake_timeout=0.2)):
            with pytest.raises(Unavailable, match=r"silent for 0\.2 s in the handshake"):
                await RemoteActor(f"127.0.0.1:{port}", "peer", 10.0).call("echo")

    asyncio.run(run())


IMPORTED = """
import json, sys
from xinfer.core.actors import xo
light = sorted(sys.modules.keys() & {"pandas", "scipy", "scipy.sparse", "pandas.core.internals"})
import pandas, scipy.sparse
total = int(pandas.DataFrame({"a": [1, 2]})["a"].sum())
print(json.dumps([light, total, scipy.sparse.eye(3).nnz]))
"""


def test_neither_pandas_nor_scipy_is_loaded_and_both_still_can_be() -> None:
    output = subprocess.run(
        [sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(output) == [[], 3, 3]


IMPORTED_AFTER = """
import pandas
from xinfer.core.actors import xo
import sys
assert sys.modules["pandas"] is pandas and pandas.DataFrame
"""


def test_an_already_loaded_pandas_stays() -> None:
    subprocess.run([sys.executable, "-c", IMPORTED_AFTER], check=True)


POOL = """
import asyncio, sys
from xinfer.core.actors import create_pool
from xinfer.settings import Settings

async def main():
    pool = await create_pool("127.0.0.1", 0, bytes(32), Settings())
    await pool.stop()

asyncio.run(main())
print(sorted(sys.modules.keys() & {"torch", "cupy", "cudf"}))
"""


def test_a_pool_imports_no_library_of_tensors(tmp_path: Path) -> None:
    for package in ("torch", "cupy", "cudf"):
        (tmp_path / f"{package}.py").write_text(
            "Tensor = ndarray = DataFrame = Series = Index = int"
        )
    path = os.pathsep.join([str(tmp_path), os.getcwd()])
    done = subprocess.run(
        [sys.executable, "-c", POOL],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert done.stdout == "[]\n"
