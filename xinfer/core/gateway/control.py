"""The API process's end of the control link: operations out, snapshots in."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from typing import Any

import msgspec

from xinfer.core.gateway.table import RoutingTable
from xinfer.core.link import Link, LinkClosed, connect
from xinfer.errors import Unavailable
from xinfer.settings import Settings
from xinfer.types.control import Call, FromSupervisor, Operation, Reply, Seen

logger = logging.getLogger(__name__)

_RECONNECT_FIRST, _RECONNECT_MAX = 0.05, 1.0  # seconds


class Control:
    """Keeps the link to the supervisor, and opens it again whenever it is lost."""

    def __init__(self, address: str, token: bytes, table: RoutingTable, settings: Settings) -> None:
        self._address = address
        self._token = token
        self._table = table
        self._settings = settings
        self._link: Link | None = None
        self._closing = False
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._calls: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count(1)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(FromSupervisor)

    def start(self) -> None:
        """Connect, and stay connected until `close`."""
        self._task = asyncio.create_task(self._stay_connected())

    async def close(self) -> None:
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._link is not None:
            self._link.close()

    async def call(self, operation: Operation) -> Any:
        """Run an operation in the supervisor; its result as builtins.

        Raises:
            XinferError: the operation failed, or the supervisor is away (`Unavailable`).
        """
        if self._link is None:
            raise _away()
        number = next(self._numbers)
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._calls[number] = answer
        try:
            self._link.send(self._encoder.encode(Call(number, operation)))
            # Not `wait_for`: before Python 3.12 it loses a cancellation that meets the answer.
            await asyncio.wait({answer}, timeout=self._settings.control_timeout)
            if not answer.done():
                raise _away()
            return answer.result()
        except LinkClosed:
            raise _away() from None
        finally:
            self._calls.pop(number, None)

    async def _stay_connected(self) -> None:
        delay = _RECONNECT_FIRST
        while True:
            self._ended.clear()
            try:
                self._link = await connect(self._address, self._token, self, self._settings)
                await self._ended.wait()
                delay = _RECONNECT_FIRST
            except (OSError, asyncio.TimeoutError) as error:
                logger.debug("The supervisor is not there yet: %s", error)
                delay = min(2 * delay, _RECONNECT_MAX)
            await asyncio.sleep(delay)

    def on_frame(self, link: Link, payload: bytes) -> None:
        try:
            message = self._decoder.decode(payload)
        except msgspec.DecodeError as error:
            logger.error("A frame from the supervisor is malformed: %s", error)
            link.abort("a malformed frame")
            return
        if isinstance(message, Reply):
            answer = self._calls.get(message.call)
            if answer is None or answer.done():
                return
            if message.failure is not None:
                answer.set_exception(message.failure.error())
            else:
                answer.set_result(message.result)
            return
        self._link = link  # `connect` may not have returned yet
        self._table.connected = True
        self._table.update(message.snapshot)
        with contextlib.suppress(LinkClosed):
            link.send(self._encoder.encode(Seen(message.snapshot.version)))

    def on_lost(self, link: Link, reason: str) -> None:
        if not self._closing:
            logger.warning("Lost the supervisor: %s. Requests go on by the last routing.", reason)
        self._link = None
        self._table.connected = False
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(_away())
        self._ended.set()


def _away() -> Unavailable:
    return Unavailable(
        "The control plane does not answer; running models go on serving. Try again shortly.",
        code="control_unavailable",
        retry_after=2.0,
    )
