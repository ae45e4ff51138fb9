"""Admission: a fixed number of slots in the engine, and a bounded waiting room before it.

The bound is the replica's own, so it holds however many API processes send requests.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from xinfer.errors import DeadlineExceeded, RateLimited, Unavailable
from xinfer.types.link import Load


class Place:
    """One request's place, from the waiting room's door until `leave`."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._turn: asyncio.Future[None] | None = None
        self._in_slot = False

    async def slot(self) -> float:
        """Wait for a slot, first come, first served; the seconds that it took.

        Raises:
            DeadlineExceeded: none came free within the queue timeout.
            Unavailable: the replica is draining and gives no more slots.
        """
        if self._in_slot:
            return 0.0
        assert self._turn is not None
        # Not `wait_for`: before Python 3.12 it loses a cancellation that meets the turn.
        loop = asyncio.get_running_loop()
        began = loop.time()
        expiry = loop.call_later(self._admission.queue_timeout, self._expire)
        try:
            await self._turn
        finally:
            expiry.cancel()
        return loop.time() - began

    def _expire(self) -> None:
        assert self._turn is not None
        timeout = self._admission.queue_timeout
        if not self._turn.done():
            self._turn.set_exception(
                DeadlineExceeded(
                    f"The request waited {timeout:.0f} s for a free slot of the model and got "
                    "none. Try again later, or launch more replicas.",
                    retry_after=timeout,
                )
            )

    def leave(self) -> None:
        """Give the place back; the next one waiting moves up. Harmless when repeated."""
        self._admission._leave(self)


class Admission:
    """Who is in the engine, who waits, who is refused.

    Args:
        limit: requests at once, running and waiting, where the deployment has `request_limits`.
    """

    def __init__(
        self, slots: int, max_queue: int, queue_timeout: float, *, limit: int | None = None
    ) -> None:
        self.slots = slots
        self.max_queue = max_queue
        self.limit = limit
        self.queue_timeout = queue_timeout
        self._running: set[Place] = set()
        self._waiting: OrderedDict[Place, None] = OrderedDict()
        self._closed = False

    @property
    def load(self) -> Load:
        places = self.slots + self.max_queue
        capacity = places if self.limit is None else min(places, self.limit)
        return Load(len(self._running), len(self._waiting), capacity)

    def enter(self) -> Place:
        """Take a place at once.

        Raises:
            RateLimited: it has as many requests as its limit allows.
            Unavailable: the waiting room is full, or the replica is draining.
        """
        if self._closed:
            raise draining()
        if self.limit is not None and len(self._running) + len(self._waiting) >= self.limit:
            raise RateLimited(
                "Rate limit reached for the model: it has as many requests at once, running and "
                "waiting, as its request_limits allow. Try again shortly, "
                "or raise request_limits with PATCH or `xinference scale`.",
                retry_after=1.0,
            )
        place = Place(self)
        if len(self._running) < self.slots:
            place._in_slot = True
            self._running.add(place)
        elif len(self._waiting) < self.max_queue:
            place._turn = asyncio.get_running_loop().create_future()
            self._waiting[place] = None
        else:
            raise Unavailable(
                f"The model is busy: {self.slots} requests run and {self.max_queue} wait, which is "
                "all it takes. Try again shortly, or launch more replicas or a larger max_queue.",
                retry_after=1.0,
            )
        return place

    def close(self) -> None:
        """Refuse newcomers and send away those who wait; those in a slot stay."""
        self._closed = True
        for place in list(self._waiting):
            del self._waiting[place]
            if place._turn is not None and not place._turn.done():
                place._turn.set_exception(draining())
                place._turn.exception()  # the owner may have left already

    def _leave(self, place: Place) -> None:
        self._waiting.pop(place, None)
        if place not in self._running:
            return
        self._running.remove(place)
        while self._waiting and len(self._running) < self.slots:
            following, _ = self._waiting.popitem(last=False)
            turn = following._turn
            if turn is None or turn.done():
                continue
            following._in_slot = True
            self._running.add(following)
            turn.set_result(None)


def draining() -> Unavailable:
    return Unavailable(
        "The model is being stopped and takes no new requests.", code="draining", retry_after=5.0
    )
