"""The client end: open a link to an address."""

from __future__ import annotations

import asyncio
import ssl

from xinfer.core.link.address import parse_address
from xinfer.core.link.link import Link, LinkHandler
from xinfer.core.security import ClientHandshake, HandshakeError
from xinfer.core.tls import cluster_tls, not_ours
from xinfer.settings import Settings

PURPOSE = b"link"


async def connect(address: str, token: bytes, handler: LinkHandler, settings: Settings) -> Link:
    """Open a link; both ends have proved that they hold `token` when this returns.

    Raises:
        ConnectionError: nobody listens there, or the peer does not hold the token.
        asyncio.TimeoutError: no answer within `handshake_timeout`.
    """
    loop = asyncio.get_running_loop()
    target = parse_address(address)
    proved: asyncio.Future[None] = loop.create_future()
    opening = _Opening(token, address, proved)

    def make() -> Link:
        link = Link(settings)
        opening.begin(link, handler)
        return link

    async def establish() -> Link:
        if target.path:
            _, link = await loop.create_unix_connection(make, target.path)
        else:
            tls = cluster_tls(settings)
            context = tls.client if tls else None
            try:
                _, link = await loop.create_connection(make, target.host, target.port, ssl=context)
            except ssl.SSLError as error:
                raise not_ours(address, error) from None
        opening.hello()
        await proved
        return link

    # Not `wait_for`: before Python 3.12 it loses a cancellation that meets the result.
    establishing = asyncio.create_task(establish())
    try:
        await asyncio.wait({establishing}, timeout=settings.handshake_timeout)
        if not establishing.done():
            raise asyncio.TimeoutError
        return establishing.result()
    except BaseException:
        opening.abandon()
        establishing.cancel()
        await asyncio.gather(establishing, return_exceptions=True)
        raise


class _Opening:
    """The client's side of the handshake; also the link's handler until it is over."""

    def __init__(self, token: bytes, address: str, proved: asyncio.Future[None]) -> None:
        self._handshake = ClientHandshake(token, PURPOSE, address)
        self._proved = proved
        self._link: Link | None = None
        self._handler: LinkHandler | None = None
        self._answered = False

    def begin(self, link: Link, handler: LinkHandler) -> None:
        self._link, self._handler = link, handler
        link.guard(self._on_frame, self._on_lost)

    def hello(self) -> None:
        assert self._link is not None
        self._link.send(self._handshake.hello())

    def abandon(self) -> None:
        if self._link is not None:
            self._link.abort("the handshake was abandoned")
        self._proved.cancel()

    def _on_frame(self, frame: bytes) -> None:
        assert self._link is not None
        assert self._handler is not None
        try:
            if not self._answered:
                self._answered = True
                self._link.send(self._handshake.answer(frame))
                return
            self._handshake.verify(frame)
        except HandshakeError as error:
            self._fail(error)
            return
        self._link.attach(self._handler)
        if not self._proved.done():
            self._proved.set_result(None)

    def _on_lost(self, reason: str) -> None:
        self._fail(HandshakeError(f"the peer ended the link during the handshake: {reason}"))

    def _fail(self, error: HandshakeError) -> None:
        if not self._proved.done():
            self._proved.set_exception(error)
