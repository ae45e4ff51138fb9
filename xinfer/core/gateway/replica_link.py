"""The API process's end of the link to one replica: many requests, one stream of frames."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec

from xinfer.core.link import FrameTooLarge, Link, LinkClosed, connect
from xinfer.errors import PayloadTooLarge, ReplicaLost
from xinfer.settings import Settings
from xinfer.types.event import Accepted, Computed, Event, Failed, Finished, Refused, Started
from xinfer.types.link import (
    Abort,
    Aborted,
    Answer,
    Begin,
    Cancel,
    Credit,
    Detokenize,
    Detokenized,
    Follow,
    Followed,
    FromReplica,
    Inspect,
    Inspected,
    Part,
    Spell,
    Spelled,
    Step,
    Submit,
    Tokenize,
    Tokenized,
    ToReplica,
)
from xinfer.types.request import Request, TextRequest

logger = logging.getLogger(__name__)

E = TypeVar("E", Accepted, Started)

_WHOLE = 1 << 20
"""Bytes up to which a request is sent at once."""

_LAST = (Finished, Failed, Refused)


def lost(reason: str) -> ReplicaLost:
    return ReplicaLost(
        f"The model's process ended while it held the request ({reason}). Try again.",
        retry_after=1.0,
    )


class Attempt:
    """One submission of a request to one replica: its events, until it ends or is lost."""

    def __init__(
        self,
        link: ReplicaLink,
        rid: int,
        on_computed: Callable[[], None] | None = None,
        *,
        held: bool = False,
    ) -> None:
        self._link = link
        self._rid = rid
        self._held = held
        self._on_computed = on_computed
        self._passed_on = 0
        self.sent = False
        """Whether it may have reached the replica."""
        self._events: list[Event] = []
        self._lost: str | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self._ended

    async def accepted(self) -> Accepted:
        """Wait until the replica has a place for the request.

        Raises:
            XinferError: as `started`.
        """
        return await self._first(Accepted)

    async def started(self) -> Started:
        """Wait until the engine has the request; one that was held is begun.

        Raises:
            XinferError: the refusal or failure that came instead; `ReplicaLost` when it died.
        """
        if self._held and not self._ended:
            self._held = False
            self._link.send(Begin(self._rid))
        return await self._first(Started)

    async def _first(self, kind: type[E]) -> E:
        while True:
            events = await self.take()
            for position, event in enumerate(events):
                if isinstance(event, (Refused, Failed)):
                    raise event.failure.error()
                if isinstance(event, kind):
                    self._events[:0] = events[position + 1 :]
                    return event

    async def take(self) -> list[Event]:
        """All events that have come, at least one.

        Raises:
            ReplicaLost: the link has ended and nothing is left.
        """
        while not self._events:
            if self._lost is not None:
                raise lost(self._lost)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        events, self._events = self._events, []
        return events

    def credit(self, amount: int) -> None:
        """Take note of what has been passed on, and tell the replica now and then: it has room
        for more until then, and a frame for each delta would cost as much as the deltas."""
        self._passed_on += amount
        if self._passed_on >= self._link.credit_step:
            self._link.send(Credit(self._rid, self._passed_on))
            self._passed_on = 0

    def cancel(self) -> None:
        """Nothing more is wanted. Harmless after the end."""
        if not self._ended:
            self._ended = True
            self._link.forget(self._rid)
            self._link.send(Cancel(self._rid))

    def on_event(self, event: Event, last: bool) -> None:
        if self._on_computed is not None and isinstance(event, (Computed, Finished)):
            self._on_computed()
            self._on_computed = None
        if isinstance(event, Computed):
            return
        self._events.append(event)
        self._ended = self._ended or last
        self._wake()

    def on_lost(self, reason: str) -> None:
        self._ended = True
        self._lost = reason
        self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class ReplicaLink:
    """Opened by `open`; ends when the replica or either process does, and calls `on_end` then."""

    def __init__(self, address: str, settings: Settings, on_end: Callable[[], None]) -> None:
        self.address = address
        self.closed = False
        self._settings = settings
        self.credit_step = max(1, settings.stream_window // 4)
        self._whole = min(_WHOLE, settings.max_frame_bytes // 2)
        self._on_end = on_end
        self._link: Link | None = None
        self._others = 0
        self._capacity = 1
        self._attempts: dict[int, Attempt] = {}
        self._calls: dict[int, asyncio.Future[Answer]] = {}
        self._numbers = itertools.count(1)
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(FromReplica)

    async def open(self, token: bytes) -> None:
        """Connect.

        Raises:
            ReplicaLost: nobody answers there.
        """
        try:
            self._link = await connect(self.address, token, self, self._settings)
        except (OSError, asyncio.TimeoutError) as error:
            self.closed = True
            raise lost(str(error) or type(error).__name__) from None

    @property
    def held(self) -> int:
        """Requests it holds: ours, and those of others as last reported."""
        return self._others + len(self._attempts)

    @property
    def pressure(self) -> float:
        """The same by its capacity."""
        return self.held / self._capacity if self._capacity else math.inf

    async def submit(
        self,
        request: Request,
        request_id: str,
        resume: Sequence[int] = (),
        on_computed: Callable[[], None] | None = None,
        *,
        held: bool = False,
    ) -> Attempt:
        """Send a request; what comes of it is in the attempt.

        Args:
            resume: as of `Submit`.
            on_computed: called once the prompt has been computed, or the request has ended.
            held: it takes a place, and is computed once `Attempt.started` is waited for.
        """
        rid = next(self._numbers)
        attempt = Attempt(self, rid, on_computed, held=held)
        window = self._settings.stream_window
        tell = on_computed is not None
        submit = Submit(rid, request_id, request, window, list(resume), tell, held)
        message = self._encoder.encode(submit)
        self._attempts[rid] = attempt
        try:
            if len(message) <= self._whole:
                attempt.sent = self._send(message)
            else:
                attempt.sent = await self._send_parts(attempt, rid, message)
        except BaseException:
            attempt.cancel()
            raise
        if not attempt.sent:
            self.forget(rid)
            attempt.on_lost("the link is closed")
        return attempt

    async def _send_parts(self, attempt: Attempt, rid: int, message: bytes) -> bool:
        """Send what is large in parts, each when the replica has taken those before it, so that
        other requests do not wait for the whole. Whether they went out: all of them, or those
        before the replica refused the request."""
        for start in range(0, len(message), self._whole):
            if attempt.ended:  # and the link, or else the rest is not to be waited for
                return self.send(Cancel(rid))
            end = min(start + self._whole, len(message))
            if not self.send(Part(rid, message[start:end], len(message) - end)):
                return False
            if self._link is not None:
                await self._link.drained()
        return True

    async def abort(self, request_id: str) -> bool:
        """Abort a request by its public id; whether this replica had it.

        Raises:
            ReplicaLost: no answer came.
        """
        answer = await self._call(Abort(next(self._numbers), request_id))
        return isinstance(answer, Aborted) and answer.found

    async def follow(self, request_id: str) -> float | None:
        """How much is done of a request, by its public id; None where it is not there.

        Raises:
            ReplicaLost: no answer came.
        """
        answer = await self._call(Follow(next(self._numbers), request_id))
        return answer.fraction if isinstance(answer, Followed) else None

    async def inspect(self) -> Inspected:
        """The replica's load and counters.

        Raises:
            ReplicaLost: no answer came.
        """
        answer = await self._call(Inspect(next(self._numbers)))
        assert isinstance(answer, Inspected)
        return answer

    async def spell(self, ids: Sequence[int]) -> list[str]:
        """What tokens are called.

        Raises:
            ReplicaLost: no answer came.
            XinferError: what the replica says against it.
        """
        answer = await self._call(Spell(next(self._numbers), list(ids)))
        assert isinstance(answer, Spelled)
        if answer.failure is not None:
            raise answer.failure.error()
        return answer.tokens

    async def tokenize(
        self, request: TextRequest, *, count_only: bool = False, bare: bool = False
    ) -> Tokenized:
        """The prompt that a request would begin with.

        Raises:
            ReplicaLost: no answer came.
            XinferError: what the replica says against it.
        """
        answer = await self._call(Tokenize(next(self._numbers), request, count_only, bare))
        assert isinstance(answer, Tokenized)
        if answer.failure is not None:
            raise answer.failure.error()
        return answer

    async def detokenize(self, ids: Sequence[int]) -> str:
        """The text of tokens.

        Raises:
            ReplicaLost: no answer came.
            XinferError: what the replica says against it.
        """
        answer = await self._call(Detokenize(next(self._numbers), list(ids)))
        assert isinstance(answer, Detokenized)
        if answer.failure is not None:
            raise answer.failure.error()
        return answer.text

    async def _call(
        self, message: Abort | Follow | Inspect | Spell | Tokenize | Detokenize
    ) -> Answer:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._calls[message.call] = answer
        try:
            if not self._send_whole(message):
                raise lost("the link is closed")
            # Not `wait_for`: before Python 3.12 it loses a cancellation that meets the answer.
            await asyncio.wait({answer}, timeout=self._settings.control_timeout)
            if not answer.done():
                raise lost("it does not answer")
            return answer.result()
        finally:
            self._calls.pop(message.call, None)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

    def _send_whole(self, message: ToReplica) -> bool:
        """`send` of what a client may have made too large.

        Raises:
            PayloadTooLarge: it does not fit into a frame.
        """
        try:
            return self.send(message)
        except FrameTooLarge as error:
            raise PayloadTooLarge(
                f"The request is too large to be passed to the model: {error}. Shorten it."
            ) from None

    def send(self, message: ToReplica) -> bool:
        """Whether the message went out; on a closed link every attempt learns of it anyway."""
        return self._send(self._encoder.encode(message))

    def _send(self, message: bytes) -> bool:
        if self._link is None:
            return False
        try:
            self._link.send(message)
        except LinkClosed:
            return False
        return True

    def forget(self, rid: int) -> None:
        self._attempts.pop(rid, None)

    def on_frame(self, link: Link, payload: bytes) -> None:
        try:
            message = self._decoder.decode(payload)
        except msgspec.DecodeError as error:
            logger.error("A frame from the replica at %s is malformed: %s", self.address, error)
            link.abort("a malformed frame")
            return
        if not isinstance(message, Step):
            answer = self._calls.get(message.call)
            if answer is not None and not answer.done():
                answer.set_result(message)
            return
        attempts = self._attempts
        load = message.load
        self._others = max(0, load.running + load.waiting - len(attempts))
        self._capacity = load.capacity
        for event in message.events:
            attempt = attempts.get(event.rid)
            if attempt is not None:
                last = isinstance(event, _LAST)
                if last:
                    del attempts[event.rid]
                attempt.on_event(event, last)

    def on_lost(self, link: Link, reason: str) -> None:
        self.closed = True
        self._on_end()
        for attempt in list(self._attempts.values()):
            attempt.on_lost(reason)
        self._attempts.clear()
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(lost(reason))
