"""TLS between nodes: what is encrypted, who is let in, and what a wrong configuration is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.certificates import Certificate, make_certificate
from xinfer.core.actors import RemoteActor, create_pool, xo
from xinfer.core.link import Link, connect, serve
from xinfer.core.security import HandshakeError, new_token
from xinfer.core.tls import cluster_tls
from xinfer.errors import InvalidRequest, Unavailable
from xinfer.settings import Settings

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("ours"))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("theirs"))


def settings(certificate: Certificate | None) -> Settings:
    if certificate is None:
        return Settings(handshake_timeout=1.0)
    return Settings(
        handshake_timeout=1.0, cluster_cert=certificate.cert, cluster_key=certificate.key
    )


class Keeper:
    """Keeps what a link brings."""

    def __init__(self) -> None:
        self.frame: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def on_frame(self, link: Link, payload: bytes) -> None:
        self.frame.set_result(payload)

    def on_lost(self, link: Link, reason: str) -> None:
        if not self.frame.done():
            self.frame.cancel()


class Wire:
    """Stands between two processes and keeps all that passes."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self.seen = b""
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def tapped(self) -> AsyncIterator[Wire]:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        for source, target in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.create_task(self._copy(source, target)))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                self.seen += data
                target.write(data)
        except ConnectionError:
            pass
        finally:
            target.close()


@pytest.mark.parametrize("encrypted", [True, False])
async def test_what_passes_on_a_link_is_hidden_once_there_is_a_certificate(
    ours: Certificate, encrypted: bool
) -> None:
    made = settings(ours if encrypted else None)
    token, keeper = new_token(), Keeper()
    server = await serve("tcp:127.0.0.1:0", token, lambda link: keeper, made)
    async with Wire(server.address.removeprefix("tcp:")).tapped() as wire:
        link = await connect(f"tcp:127.0.0.1:{wire.port}", token, Keeper(), made)
        link.send(b"a prompt that is nobody's business")
        assert await asyncio.wait_for(keeper.frame, 5) == b"a prompt that is nobody's business"
        assert (b"nobody's business" in wire.seen) is not encrypted
        assert (b"xinfer/1" in wire.seen) is not encrypted
        link.close()
    await server.close()


async def test_a_unix_socket_needs_no_encryption(ours: Certificate, tmp_path: Path) -> None:
    token, keeper = new_token(), Keeper()
    server = await serve(f"unix:{tmp_path}/s", token, lambda link: keeper, settings(ours))
    link = await connect(f"unix:{tmp_path}/s", token, Keeper(), settings(None))
    link.send(b"within one machine")
    assert await asyncio.wait_for(keeper.frame, 5) == b"within one machine"
    link.close()
    await server.close()


async def test_a_link_with_another_certificate_or_none_is_refused(
    ours: Certificate, theirs: Certificate
) -> None:
    token, accepted = new_token(), []
    server = await serve("tcp:127.0.0.1:0", token, accepted.append, settings(ours))
    with pytest.raises(HandshakeError, match="Every node needs the same cluster certificate"):
        await connect(server.address, token, Keeper(), settings(theirs))
    with pytest.raises((OSError, asyncio.TimeoutError)):
        await connect(server.address, token, Keeper(), settings(None))
    assert accepted == []
    await server.close()


async def test_a_link_to_a_server_with_another_certificate_or_none_is_refused(
    ours: Certificate, theirs: Certificate
) -> None:
    for other in (theirs, None):
        token, accepted = new_token(), []
        server = await serve("tcp:127.0.0.1:0", token, accepted.append, settings(other))
        with pytest.raises((OSError, asyncio.TimeoutError)):
            await connect(server.address, token, Keeper(), settings(ours))
        assert accepted == []
        await server.close()


class Echo(xo.StatelessActor):  # type: ignore[misc]
    async def echo(self, payload: bytes) -> bytes:
        return payload


async def test_actor_channels_are_encrypted_too(ours: Certificate) -> None:
    pool = await create_pool("127.0.0.1", 0, new_token(), settings(ours))
    try:
        await xo.create_actor(Echo, uid="echo", address=pool.external_address)
        # By way of the wire it is another address, so nothing is short-cut in this process.
        async with Wire(pool.external_address).tapped() as wire:
            there = RemoteActor(f"127.0.0.1:{wire.port}", "echo", 5.0)
            assert await there.call("echo", b"a secret plan" * 1000) == b"a secret plan" * 1000
            assert len(wire.seen) > 20_000
            assert b"secret" not in wire.seen
    finally:
        await pool.stop()


async def test_an_actor_with_another_certificate_is_refused_with_what_is_needed(
    ours: Certificate, theirs: Certificate
) -> None:
    token = new_token()
    pool = await create_pool("127.0.0.1", 0, token, settings(theirs))
    try:
        await xo.create_actor(Echo, uid="echo", address=pool.external_address)
        async with Wire(pool.external_address).tapped() as wire:
            # From here on this process's channels are those of the other certificate.
            other = await create_pool("127.0.0.1", 0, token, settings(ours))
            try:
                with pytest.raises(Unavailable, match="the same cluster certificate"):
                    await RemoteActor(f"127.0.0.1:{wire.port}", "echo", 5.0).call("echo", b"x")
            finally:
                await other.stop()
    finally:
        await pool.stop()


def test_without_certificate_and_key_there_is_no_tls() -> None:
    assert cluster_tls(Settings()) is None


@pytest.mark.parametrize(
    ("cert", "key", "complaint"),
    [
        ("ours", "", "a certificate alone. Give --ssl-cluster-key"),
        ("", "ours", "a key alone. Give --ssl-cluster-cert"),
        ("ours", "theirs", "cannot be used"),
        ("nowhere", "ours", "No such file"),
    ],
)
def test_a_wrong_pair_of_files_is_refused_with_what_is_wrong(
    cert: str, key: str, complaint: str, ours: Certificate, theirs: Certificate
) -> None:
    known = {"ours": ours, "theirs": theirs, "": Certificate("", "")}
    nowhere = Certificate("/nowhere.crt", "/nowhere.key")
    made = Settings(
        cluster_cert=known.get(cert, nowhere).cert, cluster_key=known.get(key, nowhere).key
    )
    with pytest.raises(InvalidRequest, match=complaint):
        cluster_tls(made)
