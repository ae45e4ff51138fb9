"""Tells the supervisor what this worker runs: on joining, on every change, and as heartbeat."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Mapping
from time import monotonic

import msgspec

from xinfer import __version__
from xinfer.core.actors import TOKEN_REFUSED, RemoteActor
from xinfer.core.worker.devices import Measurement
from xinfer.core.worker.locate import Locate
from xinfer.errors import Forbidden, XinferError
from xinfer.settings import Settings
from xinfer.types.cluster import SUPERVISOR_ACTOR, ReplicaReport, ReportReply, WorkerReport

logger = logging.getLogger(__name__)

_SPACING = 0.02  # seconds between two reports, so that a burst of changes makes few
_FIRST_BACKOFF = 0.1

_encode = msgspec.msgpack.Encoder().encode
_decode_reply = msgspec.msgpack.Decoder(ReportReply).decode


class Reporter:
    """Reports to one supervisor, for ever: one that is away is looked for again, one that came
    back with nothing in its memory simply gets the next report.

    Args:
        locate: finds it.
        address: this worker's own.
        labels: what this worker is called.
        replicas: what to report.
        measure: the node, when these replicas are there.
        engines: as in the report.
        on_reply: called with each answer.
    """

    def __init__(
        self,
        locate: Locate,
        address: str,
        replicas: Callable[[], tuple[ReplicaReport, ...]],
        on_reply: Callable[[ReportReply], None],
        settings: Settings,
        *,
        measure: Callable[[tuple[ReplicaReport, ...]], Measurement],
        engines: Mapping[str, tuple[str, ...]],
        labels: dict[str, str] | None = None,
    ) -> None:
        self._locate = locate
        self._supervisor: RemoteActor | None = None
        # A supervisor that hangs for longer takes this worker for lost.
        self._timeout = settings.heartbeat_timeout
        self._labels = labels or {}
        self._leaving = False
        self._address = address
        self._replicas = replicas
        self._measure = measure
        self._engines = dict(engines)
        self._on_reply = on_reply
        self._interval = settings.heartbeat_interval
        self._worker_id = secrets.token_hex(8)
        self._sequence = 0
        self._changed = asyncio.Event()
        self.joined = asyncio.Event()
        """Set with the first answer."""

    def changed(self) -> None:
        """Report soon."""
        self._changed.set()

    def leaving(self) -> None:
        """Say from now on that this worker takes nothing new and goes."""
        self._leaving = True
        self.changed()

    async def run(self) -> None:
        """Report until cancelled.

        Raises:
            XinferError: the supervisor does not want this worker, whatever it reports.
        """
        away = False
        backoff = _FIRST_BACKOFF
        while True:
            began = monotonic()
            self._changed.clear()
            try:
                await self._report()
            except Exception as error:  # whatever ails the supervisor, the models here go on
                if _is_final(error):
                    raise
                if not away:
                    logger.warning("%s Trying again until it answers.", error)
                away = True
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, self._interval)
                continue
            if away:
                logger.info("The supervisor answers again.")
            away, backoff = False, _FIRST_BACKOFF
            await asyncio.sleep(max(0.0, _SPACING - (monotonic() - began)))
            # Not wait_for: before Python 3.12 it loses a cancellation that comes with the event.
            timer = asyncio.get_running_loop().call_later(self._interval, self._changed.set)
            try:
                await self._changed.wait()
            finally:
                timer.cancel()

    async def leave(self, timeout: float) -> None:
        """Send the last report, if there was a first; a supervisor that is away need not know."""
        if not self.joined.is_set():
            return
        self._leaving = True
        try:
            await asyncio.wait_for(self._report(), timeout)
        except (XinferError, asyncio.TimeoutError) as error:
            logger.info("Leaving without the supervisor's knowledge: %s", error)

    async def _report(self) -> None:
        if self._supervisor is None:
            self._supervisor = RemoteActor(await self._locate(), SUPERVISOR_ACTOR, self._timeout)
        self._sequence += 1
        replicas = self._replicas()
        node = self._measure(replicas)
        report = WorkerReport(
            worker_id=self._worker_id,
            address=self._address,
            version=__version__,
            sequence=self._sequence,
            replicas=replicas,
            usage=node.usage,
            devices=node.devices,
            problems=node.problems,
            engines=self._engines,
            labels=self._labels,
            leaving=self._leaving,
        )
        try:
            reply = await self._supervisor.call("report", _encode(report))
        except Exception:
            self._supervisor = None
            raise
        self._on_reply(_decode_reply(reply))
        self.joined.set()


def _is_final(error: Exception) -> bool:
    """Whether the supervisor would refuse the next report like this one."""
    return isinstance(error, Forbidden) or getattr(error, "code", "") == TOKEN_REFUSED
