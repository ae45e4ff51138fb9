"""The server end: listen on an address and accept links."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable

from xinfer.core.link.address import Address, parse_address
from xinfer.core.link.connect import PURPOSE
from xinfer.core.link.link import Link, LinkHandler
from xinfer.core.security import HandshakeError, ServerHandshake, require_loopback
from xinfer.core.tls import cluster_tls
from xinfer.settings import Settings

logger = logging.getLogger(__name__)

Accept = Callable[[Link], LinkHandler]


class LinkServer:
    """A listening address and the links that came by it."""

    def __init__(self, token: bytes, accept: Accept, settings: Settings) -> None:
        self.address = ""
        self.token = token
        self._accept = accept
        self.settings = settings
        self._server: asyncio.AbstractServer | None = None
        self._links: set[Link] = set()
        self._link_ended = asyncio.Event()

    async def listen(self, address: Address, exposed: bool) -> None:
        loop = asyncio.get_running_loop()
        if address.path:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(address.path)
            mask = os.umask(0o077)
            try:
                self._server = await loop.create_unix_server(self._make_link, address.path)
            finally:
                os.umask(mask)
            self.address = str(address)
            return
        if not exposed:
            require_loopback(address.host)
        tls = cluster_tls(self.settings)
        server = await loop.create_server(
            self._make_link,
            address.host,
            address.port,
            ssl=tls.server if tls else None,
            ssl_handshake_timeout=self.settings.handshake_timeout if tls else None,
        )
        self._server = server
        host, port = server.sockets[0].getsockname()[:2]
        self.address = str(Address(host=host, port=port))

    async def close(self) -> None:
        """Stop listening and end every link, once what was sent on it has gone out.

        Peers that do not take it within `stop_timeout` are given up.
        """
        if self._server is not None:
            self._server.close()
        for link in list(self._links):
            link.close()
        patience = asyncio.get_running_loop().call_later(self.settings.stop_timeout, self._give_up)
        try:
            while self._links:
                self._link_ended.clear()
                await self._link_ended.wait()
        finally:
            patience.cancel()
        if self._server is not None:
            await self._server.wait_closed()
        if self.address.startswith("unix:"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.address.removeprefix("unix:"))

    def forget(self, link: Link) -> None:
        """The link has ended."""
        self._links.discard(link)
        self._link_ended.set()

    def _give_up(self) -> None:
        for link in list(self._links):
            link.abort("the peer takes too long to read the rest")

    def _make_link(self) -> Link:
        link = Link(self.settings)
        _Greeting(self, link)
        return link

    def admit(self, link: Link) -> None:
        """The peer has proved itself: from here on its frames mean something."""
        handler = self._accept(link)
        self._links.add(link)
        link.attach(_Tracking(handler, self.forget))


class _Greeting:
    """The server's side of the handshake, bounded in time."""

    def __init__(self, server: LinkServer, link: Link) -> None:
        self._server = server
        self._link = link
        self._handshake: ServerHandshake | None = None
        link.guard(self._on_frame, self._on_lost)
        self._timer = asyncio.get_running_loop().call_later(
            server.settings.handshake_timeout, link.abort, "no handshake in time"
        )

    def _on_frame(self, frame: bytes) -> None:
        try:
            if self._handshake is None:
                self._handshake = ServerHandshake(self._server.token, PURPOSE, self._link.peer)
                self._link.send(self._handshake.challenge(frame))
                return
            self._link.send(self._handshake.accept(frame))
        except HandshakeError as error:
            if error.reply:
                self._link.send(error.reply)
            self._link.close(str(error))
            return
        self._timer.cancel()
        self._server.admit(self._link)

    def _on_lost(self, reason: str) -> None:
        self._timer.cancel()
        logger.warning("A link from %s was refused: %s", self._link.peer, reason)


class _Tracking:
    """Passes everything to the handler and forgets the link when it ends."""

    def __init__(self, handler: LinkHandler, forget: Callable[[Link], None]) -> None:
        self._handler = handler
        self._forget = forget
        self.on_frame = handler.on_frame

    def on_lost(self, link: Link, reason: str) -> None:
        self._forget(link)
        self._handler.on_lost(link, reason)


async def serve(
    address: str, token: bytes, accept: Accept, settings: Settings, *, exposed: bool = False
) -> LinkServer:
    """Listen on `address` (port 0 takes a free one; `.address` tells which).

    `accept` is called for each link whose peer holds `token` and gives its handler. TCP is
    encrypted where the cluster has a certificate.

    Args:
        exposed: whether other machines may reach it: the token is the administrator's.

    Raises:
        ValueError: a malformed address.
        InvalidRequest: a host other than loopback, and `exposed` is not set.
        OSError: the address cannot be listened on.
    """
    server = LinkServer(token, accept, settings)
    await server.listen(parse_address(address), exposed)
    return server
