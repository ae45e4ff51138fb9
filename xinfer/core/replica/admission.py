"""Admission: a fixed number of slots in the engine, and before it a waiting room that is bounded in
requests and in bytes.

The bound is the replica's own, so it holds however many API processes send requests. A place can be
held for a request that is to be computed later: it counts as one, and keeps no slot from others.
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

    def want_slot(self) -> None:
        """It was held, and is not any more: from now on it waits for its slot, or has one.

        Raises:
            Unavailable: the replica is draining.
        """
        self._admission._want_slot(self)

    def leave(self) -> None:
        """Give the place back; the next one waiting moves up. Harmless when repeated."""
        self._admission._leave(self)


class Luggage:
    """The bytes of one large request, from its first part until it has a slot or is gone."""

    def __init__(self, admission: Admission, size: int) -> None:
        self._admission = admission
        self._size = size

    def release(self) -> None:
        """They wait no more. Harmless when repeated."""
        self._admission._waiting_bytes -= self._size
        self._size = 0


class Admission:
    """Who is in the engine, who waits, who is refused.

    Args:
        limit: requests at once, running and waiting, where the deployment has `request_limits`.
        max_bytes: of large requests, as they were sent, that wait or are on their way here.
    """

    def __init__(
        self,
        slots: int,
        max_queue: int,
        queue_timeout: float,
        *,
        limit: int | None = None,
        max_bytes: int = 256 << 20,
    ) -> None:
        self.slots = slots
        self.max_queue = max_queue
        self.limit = limit
        self.max_bytes = max_bytes
        self.queue_timeout = queue_timeout
        self._running: set[Place] = set()
        self._waiting: OrderedDict[Place, None] = OrderedDict()
        self._held: set[Place] = set()
        self._waiting_bytes = 0
        self._closed = False

    @property
    def load(self) -> Load:
        places = self.slots + self.max_queue
        capacity = places if self.limit is None else min(places, self.limit)
        return Load(len(self._running), len(self._waiting) + len(self._held), capacity)

    def check_in(self, size: int) -> Luggage:
        """Room for a request of this many bytes, of which the first have come.

        Raises:
            RateLimited, Unavailable: as `enter`.
            Unavailable: it would be too many bytes with those that wait; alone it is let in,
                however many they are.
        """
        self._refuse()
        waiting = self._waiting_bytes
        if waiting and waiting + size > self.max_bytes:
            raise Unavailable(
                f"The model is busy: requests of {_mib(waiting)} wait for it or are being sent to "
                f"it, and with the {_mib(size)} of this one they would be more than the "
                f"{_mib(self.max_bytes)} that may (XINFERENCE_MAX_QUEUE_BYTES). Try again shortly, "
                "send less at once, or launch more replicas.",
                retry_after=1.0,
            )
        self._waiting_bytes += size
        return Luggage(self, size)

    def enter(self, *, held: bool = False) -> Place:
        """Take a place at once.

        Args:
            held: it is to have no slot before `Place.want_slot`.

        Raises:
            RateLimited: it has as many requests as its limit allows.
            Unavailable: the waiting room is full, or the replica is draining.
        """
        self._refuse()
        place = Place(self)
        if held:
            self._held.add(place)
        else:
            self._admit(place)
        return place

    def _refuse(self) -> None:
        """Raise as `enter` does."""
        if self._closed:
            raise draining()
        taken = len(self._running) + len(self._waiting) + len(self._held)
        if self.limit is not None and taken >= self.limit:
            raise RateLimited(
                "Rate limit reached for the model: it has as many requests at once, running and "
                "waiting, as its request_limits allow. Try again shortly, "
                "or raise request_limits with PATCH or `xinference scale`.",
                retry_after=1.0,
            )
        if taken >= self.slots + self.max_queue:
            raise Unavailable(
                f"The model is busy: {self.slots} requests run and {self.max_queue} wait, which is "
                "all it takes. Try again shortly, or launch more replicas or a larger max_queue.",
                retry_after=1.0,
            )

    def close(self) -> None:
        """Refuse newcomers and send away those who wait; those in a slot stay."""
        self._closed = True
        for place in list(self._waiting):
            del self._waiting[place]
            if place._turn is not None and not place._turn.done():
                place._turn.set_exception(draining())
                place._turn.exception()  # the owner may have left already

    def _want_slot(self, place: Place) -> None:
        if self._closed:
            raise draining()
        self._held.remove(place)
        self._admit(place)

    def _admit(self, place: Place) -> None:
        """Into a slot, or behind those who wait for one."""
        if len(self._running) < self.slots:
            place._in_slot = True
            self._running.add(place)
        else:
            place._turn = asyncio.get_running_loop().create_future()
            self._waiting[place] = None

    def _leave(self, place: Place) -> None:
        self._held.discard(place)
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


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


def draining() -> Unavailable:
    return Unavailable(
        "The model is being stopped and takes no new requests.", code="draining", retry_after=5.0
    )
