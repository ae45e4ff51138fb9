"""xoscar as the control plane uses it: authenticated, one listening socket, imported lightly.

Only the supervisor and the workers import this module. What crosses is `bytes` in both directions.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import sys
from collections.abc import Awaitable, Coroutine, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, cast

from xinfer.core.security import (
    ANSWER_BYTES,
    CHALLENGE_BYTES,
    HELLO_BYTES,
    VERDICT_BYTES,
    ClientHandshake,
    HandshakeError,
    ServerHandshake,
    TokenRefused,
    require_loopback,
)
from xinfer.core.tls import Tls, cluster_tls, not_ours
from xinfer.errors import Unavailable, XinferError
from xinfer.settings import Settings

__all__ = ["RemoteActor", "create_pool", "xo"]

logger = logging.getLogger(__name__)

PURPOSE = b"actor"

UNREACHABLE = "unreachable"
TOKEN_REFUSED = "token_refused"
"""Codes of `Unavailable`: the actor does not answer, or not to the token that we have."""

_LOOPBACK_OF_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_PROBES = 3  # of a silent peer, before it is given up


@contextmanager
def _without_dataframes() -> Iterator[None]:
    """Import xoscar without the pandas and scipy it only needs to serialise their types.

    They are more than half of its memory. xoscar touches no attribute of pandas while it is
    imported and does without scipy.sparse when that cannot be; afterwards both can be imported
    as if nothing had been.
    """
    stand_ins: dict[str, ModuleType | None] = {
        "pandas": ModuleType("pandas"),
        "pandas.core.internals": None,
        "scipy.sparse": None,
    }
    added = {name: module for name, module in stand_ins.items() if name not in sys.modules}
    if "pandas" not in added:
        added.pop("pandas.core.internals", None)
    sys.modules.update(cast("dict[str, ModuleType]", added))
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


with _without_dataframes():
    import xoscar as xo
    from xoscar.backends.communication import core as _channels
    from xoscar.backends.communication.base import ChannelType
    from xoscar.backends.communication.socket import SocketClient, SocketServer
    from xoscar.errors import XoscarError
    from xoscar.serialization.core import Serializer

for _type in ("torch.Tensor", "cupy.ndarray", "cudf.DataFrame", "cudf.Series", "cudf.Index"):
    # Where these packages are installed, the first pool would import them: seconds, and hundreds
    # of megabytes, for types that nobody sends here.
    Serializer.unregister(_type)


async def create_pool(
    host: str, port: int, token: bytes, settings: Settings, *, exposed: bool = False
) -> Any:
    """Open this process's actor pool: one TCP socket, and no channel without the token.

    The token holds for every channel of the process, in both directions, from here on; so does
    the cluster's certificate, if there is one.

    Args:
        host: a literal address. With 0.0.0.0 or ::, `pool.external_address` is on loopback.
        port: 0 takes a free one; `pool.external_address` tells which.
        exposed: whether other machines may reach it: the token is the administrator's.

    Returns:
        The pool; `await pool.stop()` closes it.

    Raises:
        InvalidRequest: `host` is not a loopback address, and `exposed` is not set.
        OSError: the port is in use.
    """
    if not exposed:
        require_loopback(host)
    _secure_channels(token, cluster_tls(settings), settings)
    own = _LOOPBACK_OF_ANY.get(host, host)
    return await xo.create_actor_pool(
        f"{own}:{port}",
        n_process=0,
        enable_internal_addresses=[False],
        # What is listened on is every address then, whatever the pool calls itself.
        extra_conf={"listen_elastic_ip": own != host},
    )


class RemoteActor:
    """An actor of another process, by address and uid.

    Args:
        timeout: seconds that one call may take, connecting included.
    """

    def __init__(self, address: str, uid: str, timeout: float) -> None:
        self.address = address
        self.uid = uid
        self._timeout = timeout
        self._ref = xo.create_actor_ref(address, uid.encode())

    async def call(self, method: str, payload: bytes = b"") -> bytes:
        """Call a method; it may have run even when this raises `Unavailable`.

        Raises:
            Unavailable: the actor cannot be reached, went away or did not answer in time
                (UNREACHABLE), or holds another token (TOKEN_REFUSED).
            XinferError: what the method itself raised.
        """
        code = UNREACHABLE
        try:
            return cast("bytes", await self._bounded(getattr(self._ref, method)(payload)))
        except XinferError as error:
            # xoscar raises a copy of a made-up class; the original is inside.
            raise getattr(error, "__wrapped__", error) from None
        except asyncio.TimeoutError:
            reason = f"no answer within {self._timeout:g} s"
        except (OSError, EOFError, XoscarError) as error:
            if isinstance(error, TokenRefused):
                code = TOKEN_REFUSED
            reason = (str(error) or type(error).__name__).rstrip(".")
        raise Unavailable(f"{self.uid} at {self.address} cannot be reached: {reason}.", code=code)

    async def _bounded(self, call: Awaitable[Any]) -> Any:
        task = asyncio.ensure_future(call)
        try:
            done, _ = await asyncio.wait({task}, timeout=self._timeout)
            if not done:
                raise asyncio.TimeoutError
            return task.result()
        finally:
            # The first cancel makes xoscar ask the peer to cancel and wait for its word, which
            # a hung peer never gives; the second ends that wait.
            while not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=0.2)


def _secure_channels(token: bytes, tls: Tls | None, settings: Settings) -> None:
    """Put the handshake, and TLS where there is a certificate, before every TCP channel."""
    timeout = settings.handshake_timeout
    silence = settings.heartbeat_timeout

    class AuthenticatedServer(SocketServer):  # type: ignore[misc]
        __slots__ = ()
        scheme = None

        @classmethod
        async def create(cls, config: dict[str, Any]) -> Any:
            if tls is not None:
                config = {**config, "ssl": tls.server, "ssl_handshake_timeout": timeout}
            return await super().create(config)

        async def on_connected(self, *args: Any, **kwargs: Any) -> None:
            reader, writer = args
            _give_up_after(silence, writer)
            try:
                await asyncio.wait_for(_admit(token, reader, writer), timeout)
            except (OSError, EOFError, asyncio.TimeoutError) as error:
                logger.warning("%s", _refusal(writer, error, timeout))
                writer.close()
                return
            except BaseException:  # the pool stops
                writer.close()
                raise
            await super().on_connected(*args, **kwargs)

    class AuthenticatedClient(SocketClient):  # type: ignore[misc]
        __slots__ = ()
        scheme = None

        @classmethod
        async def connect(
            cls, dest_address: str, local_address: str | None = None, **kwargs: Any
        ) -> Any:
            try:
                opening = _connect(cls, dest_address, local_address, tls, silence)
                client = await _opened(opening, timeout)
                try:
                    await asyncio.wait_for(_prove(token, client, dest_address), timeout)
                except BaseException:
                    _hang_up(client)
                    raise
                return client
            except ssl.SSLError as error:
                raise not_ours(dest_address, error) from None
            except asyncio.TimeoutError:
                raise HandshakeError(
                    f"{dest_address} was silent for {timeout:g} s in the handshake of an actor "
                    "channel. Is it an xinfer process?"
                ) from None
            except EOFError:
                raise HandshakeError(
                    f"{dest_address} hung up in the handshake of an actor channel. Is it an "
                    "xinfer process of this version, and with the same cluster certificate?"
                ) from None

    AuthenticatedServer.client_type = AuthenticatedClient
    _channels.register_server(AuthenticatedServer)
    _channels.register_client(AuthenticatedClient)


async def _admit(token: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    handshake = ServerHandshake(token, PURPOSE, _peer(writer))
    writer.write(handshake.challenge(await reader.readexactly(HELLO_BYTES)))
    try:
        verdict = handshake.accept(await reader.readexactly(ANSWER_BYTES))
    except HandshakeError as error:
        writer.write(error.reply)
        raise
    writer.write(verdict)
    await writer.drain()


async def _connect(
    kind: Any, address: str, local_address: str | None, tls: Tls | None, silence: float
) -> Any:
    """A client of xoscar's; its own `connect` knows no TLS."""
    host, _, port = address.rpartition(":")
    context = tls.client if tls else None
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context)
    _give_up_after(silence, writer)
    channel = kind.channel_class(
        reader,
        writer,
        local_address=local_address,
        dest_address=address,
        channel_type=ChannelType.remote,
    )
    return kind(local_address, address, channel)


def _give_up_after(seconds: float, writer: asyncio.StreamWriter) -> None:
    """End the connection when the peer's machine has confirmed nothing for so long: whoever waits
    for an answer learns of it, and the next call connects anew."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        interval = max(1, round(seconds / _PROBES))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, interval)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, interval)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(seconds * 1000))


async def _opened(opening: Coroutine[Any, Any, Any], timeout: float) -> Any:
    """The client that `opening` makes; one that comes when nobody waits any more is closed."""
    task = asyncio.ensure_future(opening)
    try:
        # Not `wait_for`: before Python 3.12 it drops a client that meets a cancellation.
        done, _ = await asyncio.wait({task}, timeout=timeout)
        if not done:
            raise asyncio.TimeoutError
    except BaseException:
        task.cancel()
        task.add_done_callback(_hang_up_late)
        raise
    return task.result()


def _hang_up_late(opening: asyncio.Task[Any]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        _hang_up(opening.result())


def _hang_up(client: Any) -> None:
    client.channel.writer.close()


async def _prove(token: bytes, client: Any, address: str) -> None:
    reader, writer = client.channel.reader, client.channel.writer
    handshake = ClientHandshake(token, PURPOSE, address)
    writer.write(handshake.hello())
    writer.write(handshake.answer(await reader.readexactly(CHALLENGE_BYTES)))
    handshake.verify(await reader.readexactly(VERDICT_BYTES))


def _peer(writer: asyncio.StreamWriter) -> str:
    name = writer.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if name else "a peer that has left"


def _refusal(writer: asyncio.StreamWriter, error: Exception, timeout: float) -> str:
    if isinstance(error, HandshakeError):
        return str(error)
    if isinstance(error, asyncio.TimeoutError):
        return f"Refused {_peer(writer)} on the actor channel: silent for {timeout:g} s."
    return f"{_peer(writer)} left the actor channel before it had proved who it is."
