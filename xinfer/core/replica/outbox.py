"""What goes back: events gathered into one frame for each link, each request within its credit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from xinfer.core.link import FrameTooLarge, Link, LinkClosed
from xinfer.core.replica.backlog import Backlog, build_delta
from xinfer.types.event import (
    Accepted,
    Computed,
    Delta,
    Event,
    Failed,
    Finished,
    Made,
    Refused,
    Rows,
    Started,
    TokenLogprob,
    ToolCall,
)
from xinfer.types.failure import Failure
from xinfer.types.link import Answer, FromReplica, Load, Step


class Outbox:
    """The events for one link; what is put in one turn of the loop leaves as one frame."""

    def __init__(self, link: Link, load: Callable[[], Load]) -> None:
        self._link = link
        self._load = load
        self._events: list[Event] = []
        self._scheduled = False
        self._encoder = msgspec.msgpack.Encoder()

    def put(self, event: Event) -> None:
        self._events.append(event)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self.flush)

    def reply(self, answer: Answer) -> None:
        self._send(answer)

    def flush(self) -> None:
        self._scheduled = False
        events, self._events = self._events, []
        if events:
            self._send_step(events)

    def _send_step(self, events: list[Event]) -> None:
        """As one frame; in halves where slow readers have taken so much at once that it does not
        fit into one."""
        try:
            self._send(Step(self._load(), events))
        except FrameTooLarge as error:
            half = len(events) // 2
            if not half:
                self._link.abort(str(error))
                return
            self._send_step(events[:half])
            self._send_step(events[half:])

    def _send(self, message: FromReplica) -> None:
        try:
            self._link.send(self._encoder.encode(message))
        except LinkClosed:
            return  # its loss has cancelled, or is about to cancel, all that it carried


class Channel:
    """One request's way out. Without credit, deltas wait and are merged; the end waits too."""

    def __init__(
        self,
        rid: int,
        window: int,
        max_backlog: int,
        outbox: Outbox,
        on_close: Callable[[], None],
    ) -> None:
        self.rid = rid
        self._on_close = on_close
        self._credit = window
        self._max_backlog = max_backlog
        self._outbox = outbox
        self._backlog = Backlog(rid)
        self._end: Finished | Failed | None = None
        self._closed = asyncio.Event()
        self.on_grant: Callable[[int], object] | None = None
        """Told of credit, where the request keeps count of its own."""

    @property
    def closed(self) -> bool:
        """The end has been sent, or nobody wants it: nothing follows."""
        return self._closed.is_set()

    async def wait_closed(self) -> None:
        """Wait for a slow reader to take what is held, or to go."""
        await self._closed.wait()

    def put(self, event: Accepted | Started | Computed | Rows | Made) -> None:
        """Send an event that needs no credit, or has its own."""
        if not self.closed:
            self._outbox.put(event)

    def refuse(self, failure: Failure) -> None:
        """End a request that was not accepted."""
        self._close(Refused(self.rid, failure))

    def discard(self) -> None:
        """The reader has gone."""
        self._close(None)

    def delta(
        self,
        text: str,
        ids: list[int],
        logprobs: Sequence[TokenLogprob] = (),
        reasoning: str = "",
        calls: Sequence[ToolCall] = (),
    ) -> bool:
        """Deliver output, or hold it. False: the reader is too slow, and the backlog is full."""
        delta = build_delta(self.rid, text, ids, logprobs, reasoning, calls)
        if self._credit > 0:
            self._spend(delta)
            return True
        self._backlog.add(delta)
        return self._backlog.size <= self._max_backlog

    def end(self, event: Finished | Failed) -> None:
        """Send the end, after what is held. A failure does not wait for a slow reader."""
        self._end = event
        if not self._backlog or isinstance(event, Failed):
            self._close(event)

    def grant(self, amount: int) -> None:
        """The reader took some."""
        self._credit += amount
        if self.on_grant is not None:
            self.on_grant(amount)
        if self.closed:
            return
        while self._backlog and self._credit > 0:
            self._spend(self._backlog.take())
        if self._end is not None and not self._backlog:
            self._close(self._end)

    def _spend(self, delta: Delta) -> None:
        """Send it whole; what it takes beyond the credit is owed."""
        self._credit -= delta.cost
        self._outbox.put(delta)

    def _close(self, event: Event | None) -> None:
        if self.closed:
            return
        self._closed.set()
        if event is not None:
            self._outbox.put(event)
        self._on_close()
