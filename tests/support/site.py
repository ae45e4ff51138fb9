"""A site of the internet, on loopback: answers each request as its handler says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpcore

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""Gets the request's head and where its answer goes; cancelled when the client leaves."""


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Site:
    """What has been asked of it, and how many connections there were."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []
        self.hung_up = asyncio.Event()
        """Set once a client has left before its answer was whole."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.requests.append(head)
            answer = asyncio.create_task(self._answer(head, writer))
            gone = asyncio.create_task(reader.read())
            await asyncio.wait((answer, gone), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                self.hung_up.set()
            answer.cancel()
            gone.cancel()
            await asyncio.wait((answer, gone))
        except asyncio.IncompleteReadError:
            pass  # a connection that nothing was asked on
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()

    async def _answer(self, head: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            await self._handler(head, writer)
            await writer.drain()
        except ConnectionError:
            self.hung_up.set()


@asynccontextmanager
async def running_site(
    handler: Handler | bytes, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Site]:
    """A site that listens on a port of 127.0.0.1; bytes are its answer to everything."""

    async def constant(head: bytes, writer: asyncio.StreamWriter) -> None:
        assert isinstance(handler, bytes)
        writer.write(handler)

    site = Site(constant if isinstance(handler, bytes) else handler)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()


class Detour(httpcore.AnyIOBackend):
    """Connections that are to go to the internet go to one site; `asked` is where to."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.asked: list[tuple[str, int]] = []

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: object = None,
    ) -> httpcore.AsyncNetworkStream:
        self.asked.append((host, port))
        return await super().connect_tcp("127.0.0.1", self._site.port, timeout)
