"""Bounds on clients at the socket: slow requests, huge headers, readers that take nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from tests.support.certificates import Certificate, make_certificate
from xinfer.api.protocol import bounded_protocol
from xinfer.settings import Settings

pytestmark = pytest.mark.anyio

CHUNK = b"x" * 65536


class _App:
    """Reads the body, then answers `ok`; at /flood it writes until the client is gone."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        while message.get("more_body"):
            message = await receive()
        if message["type"] == "http.disconnect":
            self.left.set()
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"] == "/flood":
            flood = asyncio.create_task(self._flood(send))
            await receive()
            flood.cancel()
            self.left.set()
            return
        await send({"type": "http.response.body", "body": b"ok"})

    @staticmethod
    async def _flood(send: Any) -> None:
        while True:
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
            await asyncio.sleep(0)


@asynccontextmanager
async def _serving(
    certificate: Certificate | None = None, **settings: Any
) -> AsyncIterator[tuple[_App, int]]:
    app = _App()
    sock = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=bounded_protocol(Settings(**settings)),
        loop="none",
        ws="none",
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=0,
        ssl_certfile=certificate.cert if certificate else None,
        ssl_keyfile=certificate.key if certificate else None,
    )
    server = uvicorn.Server(config)
    # The socket listens already: a client that comes first waits.
    running = asyncio.create_task(server._serve([sock]))
    try:
        yield app, sock.getsockname()[1]
    finally:
        server.should_exit = True
        await running


async def _talk(port: int, sent: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()


GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n"


@pytest.mark.parametrize("sent", [b"GE", GET, POST + b"\r\nhalf"])
async def test_a_request_that_does_not_arrive_whole_is_ended(sent: bytes) -> None:
    async with _serving(http_request_timeout=0.2) as (app, port):
        answer = await _talk(port, sent)
        assert answer.startswith(b"HTTP/1.1 504 ")
        assert b'"code":"timeout"' in answer
        if b"half" in sent:
            await asyncio.wait_for(app.left.wait(), 10)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"), host="localhost")


@pytest.mark.parametrize(
    ("sent", "status"), [(b"x-filler: " + b"a" * 1_000_000, b"413"), (b"", b"504")]
)
async def test_over_tls_who_is_refused_is_told_so_too(
    certificate: Certificate, sent: bytes, status: bytes
) -> None:
    bounds = {"max_header_bytes": 4096, "http_request_timeout": 0.2 if not sent else 60.0}
    trusting = ssl.create_default_context(cafile=certificate.cert)
    async with _serving(certificate, **bounds) as (_, port):
        reader, writer = await asyncio.open_connection("localhost", port, ssl=trusting)
        writer.write(GET + sent)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert b"connection: close" in answer
        writer.close()


async def test_a_second_request_on_a_connection_has_the_same_bound() -> None:
    async with _serving(http_request_timeout=0.2) as (_, port):
        answer = await _talk(port, GET + b"\r\n" + GET)
        assert answer.count(b"HTTP/1.1 200 ") == 1
        assert answer.count(b"HTTP/1.1 504 ") == 1


async def test_a_connection_that_asks_nothing_is_closed_without_a_word() -> None:
    async with _serving(http_request_timeout=0.2) as (_, port):
        assert await _talk(port, b"") == b""


async def test_between_requests_a_connection_is_not_timed() -> None:
    async with _serving(http_request_timeout=0.2, http_keep_alive=60) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(GET + b"\r\n")
            answer = await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 10)
            assert answer.startswith(b"HTTP/1.1 200 ")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.5)
        writer.close()


async def test_headers_without_end_are_refused() -> None:
    async with _serving(max_header_bytes=4096) as (_, port):
        answer = await _talk(port, GET + b"x-filler: " + b"a" * 1_000_000)
        assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_long_body_is_not_taken_for_headers() -> None:
    async with _serving(max_header_bytes=4096) as (_, port):
        head = b"POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1000000\r\n\r\n"
        answer = await _talk(port, head + b"a" * 1_000_000)
        assert answer.startswith(b"HTTP/1.1 200 ")


async def test_a_reader_that_takes_nothing_loses_its_connection() -> None:
    async with _serving(stream_write_timeout=0.1) as (app, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n")
        await asyncio.wait_for(app.left.wait(), 20)
        writer.close()
        del reader


async def test_a_slow_reader_that_takes_something_keeps_it() -> None:
    async with _serving(stream_write_timeout=0.5) as (app, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /flood HTTP/1.1\r\nhost: x\r\n\r\n")
        taken = 0
        loop = asyncio.get_running_loop()
        end = loop.time() + 1.5
        while loop.time() < end:
            taken += len(await asyncio.wait_for(reader.read(1 << 20), 10))
            assert not app.left.is_set()
        assert taken > 1 << 20
        writer.close()
        await asyncio.wait_for(app.left.wait(), 10)
