"""The replica's service on links: requests in, one frame of events a step out."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable

import msgspec

from xinfer.core.link import Link
from xinfer.core.replica.active import ActiveRequest
from xinfer.core.replica.admission import Admission, Luggage, draining
from xinfer.core.replica.arrivals import Arrivals
from xinfer.core.replica.backend import Backend
from xinfer.core.replica.outbox import Channel, Outbox
from xinfer.errors import Cancelled, XinferError
from xinfer.settings import Settings
from xinfer.types.event import Refused
from xinfer.types.failure import Failure
from xinfer.types.link import (
    Abort,
    Aborted,
    Begin,
    Cancel,
    Credit,
    Detokenize,
    Detokenized,
    Follow,
    Followed,
    Inspect,
    Inspected,
    Part,
    Spell,
    Spelled,
    Submit,
    Tokenize,
    Tokenized,
    ToReplica,
)

logger = logging.getLogger(__name__)


class Service:
    """All requests of one replica, whichever link they came by."""

    def __init__(self, backend: Backend, admission: Admission, settings: Settings) -> None:
        self._backend = backend
        self._admission = admission
        self._settings = settings
        self._active: dict[int, tuple[ActiveRequest, asyncio.Task[None]]] = {}
        self._numbers = itertools.count(1)
        self._asides: set[asyncio.Task[None]] = set()

    def accept(self, link: Link) -> Session:
        """The handler for a new link."""
        outbox = Outbox(link, lambda: self._admission.load)
        return Session(self, outbox, Arrivals(self._admission))

    def submit(
        self,
        message: Submit,
        size: int,
        outbox: Outbox,
        on_close: Callable[[], None],
        luggage: Luggage | None = None,
    ) -> ActiveRequest:
        """Begin a request; `on_close` is called when its end has been sent."""
        number = next(self._numbers)
        backlog = self._settings.stream_backlog
        channel = Channel(message.rid, message.window, backlog, outbox, on_close)
        active = self._backend.begin(number, message, size, channel)
        task = asyncio.create_task(active.run(self._admission, luggage))
        self._active[number] = (active, task)

        def done(_: object) -> None:
            del self._active[number]
            if luggage is not None:
                luggage.release()

        task.add_done_callback(done)
        return active

    def cancel(self, active: ActiveRequest) -> None:
        """Nothing more is wanted of this request."""
        active.channel.discard()
        entry = self._active.get(active.number)
        if entry is not None:
            entry[1].cancel()

    def abort(self, request_id: str) -> bool:
        """End the requests with this public id; whether there was one."""
        found = [
            entry
            for entry in self._active.values()
            if entry[0].request_id == request_id and not entry[0].channel.closed
        ]
        for active, task in found:
            active.end_with(Cancelled("The request was aborted."))
            task.cancel()
        return bool(found)

    def inspect(self, call: int) -> Inspected:
        """How the replica is, as the answer to call number `call`."""
        return Inspected(call, self._admission.load, self._backend.stats())

    def follow(self, message: Follow) -> Followed:
        """How far a request has come."""
        return Followed(message.call, self._backend.progress(message.request_id))

    def spell(self, message: Spell) -> Spelled:
        """What the tokens are called, or why that cannot be told."""
        try:
            return Spelled(message.call, self._backend.spell(message.ids))
        except XinferError as error:
            return Spelled(message.call, [], Failure.of(error))

    def detokenize(self, message: Detokenize) -> Detokenized:
        """The tokens as text, or why that cannot be told."""
        try:
            return Detokenized(message.call, self._backend.text(message.ids))
        except XinferError as error:
            return Detokenized(message.call, failure=Failure.of(error))

    def tokenize(self, message: Tokenize, reply: Callable[[Tokenized], None]) -> asyncio.Task[None]:
        """Have a prompt made tokens on a thread, and the answer told; the caller may cancel it."""
        task = asyncio.create_task(self._tokenize(message, reply))
        self._asides.add(task)
        task.add_done_callback(self._asides.discard)
        return task

    async def _tokenize(self, message: Tokenize, reply: Callable[[Tokenized], None]) -> None:
        try:
            ids = await asyncio.to_thread(self._backend.tokens, message.request, message.bare)
        except Exception as error:
            if not isinstance(error, XinferError):
                logger.exception("A prompt could not be made tokens")
            reply(Tokenized(message.call, failure=Failure.of(error)))
        else:
            reply(Tokenized(message.call, len(ids), [] if message.count_only else ids))

    async def drain(self, enough: asyncio.Event) -> None:
        """Take nothing new and let what runs finish; once `enough` is set, end what is left."""
        self._admission.close()
        patience = asyncio.create_task(enough.wait())
        while self._active and not patience.done():
            tasks = {task for _, task in self._active.values()}
            await asyncio.wait({patience, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        patience.cancel()
        for active, task in list(self._active.values()):
            active.end_with(draining())
            task.cancel()
        left = [task for _, task in self._active.values()]
        if left:
            await asyncio.wait(left, timeout=self._settings.stop_timeout)

    async def close(self) -> None:
        """End what is left, once the links and the engine are closed."""
        left = list(self._active.values())
        for active, task in left:
            active.on_engine_closed()
            task.cancel()
        asides = list(self._asides)
        for aside in asides:
            aside.cancel()
        await asyncio.gather(*asides, *(task for _, task in left), return_exceptions=True)


class Session:
    """One link's side of the service; its end cancels all that it carried."""

    def __init__(self, service: Service, outbox: Outbox, arrivals: Arrivals) -> None:
        self._service = service
        self._outbox = outbox
        self._arrivals = arrivals
        self._requests: dict[int, ActiveRequest] = {}
        self._asides: set[asyncio.Task[None]] = set()
        self._decoder = msgspec.msgpack.Decoder(ToReplica)
        self._submits = msgspec.msgpack.Decoder(Submit)

    def on_frame(self, link: Link, payload: bytes) -> None:
        try:
            message = self._decoder.decode(payload)
            if isinstance(message, Part):
                self._join(message)
                return
        except msgspec.DecodeError as error:
            logger.error("A frame from %s could not be read: %s", link.peer, error)
            link.abort("a malformed frame")
            return
        if isinstance(message, Submit):
            self._submit(message, len(payload))
        elif isinstance(message, Credit):
            request = self._requests.get(message.rid)
            if request is not None:
                request.channel.grant(message.amount)
        elif isinstance(message, Begin):
            request = self._requests.get(message.rid)
            if request is not None:
                request.begin()
        elif isinstance(message, Cancel):
            self._arrivals.drop(message.rid)
            request = self._requests.get(message.rid)
            if request is not None:
                self._service.cancel(request)
        elif isinstance(message, Abort):
            found = self._service.abort(message.request_id)
            self._outbox.reply(Aborted(message.call, found))
        elif isinstance(message, Inspect):
            self._outbox.reply(self._service.inspect(message.call))
        elif isinstance(message, Follow):
            self._outbox.reply(self._service.follow(message))
        elif isinstance(message, Spell):
            self._outbox.reply(self._service.spell(message))
        elif isinstance(message, Detokenize):
            self._outbox.reply(self._service.detokenize(message))
        elif isinstance(message, Tokenize):
            task = self._service.tokenize(message, self._outbox.reply)
            self._asides.add(task)
            task.add_done_callback(self._asides.discard)

    def _join(self, part: Part) -> None:
        """Put it to those before it, and begin the request of which it is the last.

        Raises:
            DecodeError: what they make is no request.
        """
        try:
            whole = self._arrivals.add(part)
        except XinferError as error:
            self._outbox.put(Refused(part.rid, Failure.of(error)))
            return
        if whole is not None:
            data, luggage = whole
            try:
                message = self._submits.decode(data)
            except msgspec.DecodeError:
                luggage.release()
                raise
            self._submit(message, len(data), luggage)

    def _submit(self, message: Submit, size: int, luggage: Luggage | None = None) -> None:
        rid = message.rid

        def forget() -> None:
            self._requests.pop(rid, None)

        self._requests[rid] = self._service.submit(message, size, self._outbox, forget, luggage)

    def on_lost(self, link: Link, reason: str) -> None:
        if self._requests:
            logger.warning("Lost the link from %s: %s", link.peer, reason)
        self._arrivals.close()
        for request in list(self._requests.values()):
            self._service.cancel(request)
        for task in self._asides:
            task.cancel()
