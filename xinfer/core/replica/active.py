"""One request, from admission to its one end, whatever computes it."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod

from xinfer.core import logs
from xinfer.core.replica.admission import Admission, Luggage, Place
from xinfer.core.replica.outbox import Channel
from xinfer.errors import XinferError
from xinfer.types.event import Accepted, Failed
from xinfer.types.failure import Failure
from xinfer.types.link import Submit

logger = logging.getLogger(__name__)


class ActiveRequest(ABC):
    """Owns one request.

    Its task ends when the engine holds nothing of it any more and its end has been sent.
    """

    def __init__(self, number: int, message: Submit, channel: Channel) -> None:
        self.number = number
        """Among all requests of the replica, whichever link they came by."""
        self.request_id = message.request_id
        self.channel = channel
        self._held = message.held
        self._begun = asyncio.Event()
        self._accepted = False
        self._place: Place | None = None

    async def run(self, admission: Admission, luggage: Luggage | None = None) -> None:
        """Admit, prepare, compute, and wait until the engine has let go of the request.

        Args:
            luggage: of a large one; the caller releases it, if it gets no slot.
        """
        logs.request_id.set(self.request_id)
        try:
            place = admission.enter(held=self._held)
        except XinferError as error:
            self._fail(error)
            return
        self._place = place
        try:
            if self._held:
                self._accept()
                await self._begun.wait()
                place.want_slot()
            await self._prepare()
            self._accept()
            waited = await place.slot()
            if luggage is not None:
                luggage.release()
            await self._compute(waited)
        except XinferError as error:
            self._fail(error)
        except Exception as error:
            logger.exception("Request %s failed", self.request_id)
            self._fail(error)
        finally:
            place.leave()
        await self.channel.wait_closed()

    @abstractmethod
    async def _prepare(self) -> None:
        """Check the request and make of it what the engine takes.

        Raises:
            XinferError: it is refused.
        """

    @abstractmethod
    async def _compute(self, waited: float) -> None:
        """Have it computed, and return when the engine has let go of it, also when cancelled.

        Args:
            waited: seconds that it was in the waiting room.
        """

    @abstractmethod
    def on_engine_closed(self) -> None:
        """The engine holds nothing any more, and makes nothing more of it."""

    def begin(self) -> None:
        """It need not be held any more."""
        self._begun.set()

    def end_with(self, error: XinferError) -> None:
        """End the request early, telling its client why. The task must be cancelled with it."""
        self._fail(error)

    def _leave_place(self) -> None:
        """At once when the engine has let go, so that the load that goes with the end knows it."""
        if self._place is not None:
            self._place.leave()

    def _accept(self) -> None:
        if not self._accepted:
            self._accepted = True
            self.channel.put(Accepted(self.channel.rid))

    def _fail(self, error: BaseException) -> None:
        failure = Failure.of(error)
        if self._accepted:
            self.channel.end(Failed(self.channel.rid, failure))
        else:
            self.channel.refuse(failure)
