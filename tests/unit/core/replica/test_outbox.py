"""The way out: one frame a turn, deltas within the reader's credit, one end."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tests.support.replicas import soon
from xinfer.core.link import FrameTooLarge, LinkClosed
from xinfer.core.replica.outbox import Channel, Outbox
from xinfer.errors import Cancelled
from xinfer.types.event import (
    Accepted,
    Delta,
    Event,
    Failed,
    Finished,
    LogprobDelta,
    MessageDelta,
    Refused,
    Started,
    TokenLogprob,
    ToolCall,
    Usage,
)
from xinfer.types.failure import Failure
from xinfer.types.link import Aborted, FromReplica, Load, Step

pytestmark = pytest.mark.anyio

LOAD = Load(1, 2, 3)
END = Finished(7, "stop", Usage(1, 2, 0))
FAILURE = Failure.of(Cancelled("enough"))


class Wire:
    """In the place of a link: keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Step | Aborted] = []
        self.closed = False
        self.most = 1000
        self.aborted = ""

    def abort(self, reason: str) -> None:
        self.aborted = reason

    def send(self, payload: bytes) -> None:
        if self.closed:
            raise LinkClosed("closed")
        if len(payload) > self.most:
            raise FrameTooLarge("too large")
        self.sent.append(msgspec.msgpack.decode(payload, type=FromReplica))

    @property
    def events(self) -> list[Event]:
        return [event for step in self.sent if isinstance(step, Step) for event in step.events]


class Way:
    """A channel of request 7 on a wire."""

    def __init__(self, window: int, max_backlog: int = 1000) -> None:
        self.wire = Wire()
        self.closed = 0
        self.outbox = Outbox(self.wire, lambda: LOAD)  # type: ignore[arg-type]
        self.channel = Channel(7, window, max_backlog, self.outbox, self._on_close)

    def _on_close(self) -> None:
        self.closed += 1


async def test_what_is_put_in_one_turn_leaves_as_one_frame_with_the_load() -> None:
    wire = Wire()
    outbox = Outbox(wire, lambda: LOAD)  # type: ignore[arg-type]
    outbox.put(Started(1, 5))
    outbox.put(Delta(2, "a", [1]))
    assert wire.sent == []
    await asyncio.sleep(0)
    outbox.put(Delta(2, "b", [2]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert wire.sent == [
        Step(LOAD, [Started(1, 5), Delta(2, "a", [1])]),
        Step(LOAD, [Delta(2, "b", [2])]),
    ]


async def test_what_does_not_fit_into_one_frame_leaves_as_several() -> None:
    wire = Wire()
    outbox = Outbox(wire, lambda: LOAD)  # type: ignore[arg-type]
    events: list[Event] = [Delta(rid, "x" * 300, [1]) for rid in range(9)]
    for event in events:
        outbox.put(event)
    await asyncio.sleep(0)
    assert wire.events == events
    assert len(wire.sent) > 2
    outbox.put(Delta(1, "x" * 2000, [1]))
    await asyncio.sleep(0)
    assert wire.aborted == "too large"


async def test_a_closed_link_takes_nothing_and_hurts_nobody() -> None:
    way = Way(window=5)
    way.wire.closed = True
    assert way.channel.delta("a", [1])
    way.channel.end(END)
    await asyncio.sleep(0)
    assert way.wire.sent == []
    assert way.channel.closed


async def test_within_the_credit_every_delta_goes_out_by_itself() -> None:
    way = Way(window=2)
    way.channel.delta("a", [1])
    way.channel.delta("b", [2])
    way.channel.end(END)
    await asyncio.sleep(0)
    assert way.wire.events == [Delta(7, "a", [1]), Delta(7, "b", [2]), END]
    assert way.closed == 1


async def test_without_credit_deltas_merge_and_the_end_waits_for_them() -> None:
    way = Way(window=1)
    for token, text in enumerate("abcd"):
        assert way.channel.delta(text, [token])
    way.channel.end(END)
    await asyncio.sleep(0)
    assert way.wire.events == [Delta(7, "a", [0])]
    assert not way.channel.closed
    way.channel.grant(1)
    await asyncio.sleep(0)
    assert way.wire.events == [Delta(7, "a", [0]), Delta(7, "bcd", [1, 2, 3]), END]
    assert way.channel.closed
    assert way.closed == 1
    await soon(way.channel.wait_closed())


async def test_a_held_delta_takes_credit_by_its_tokens_and_leaves_the_rest_for_the_next() -> None:
    way = Way(window=0)
    way.channel.delta("a", [1])
    way.channel.delta("b", [2])
    way.channel.grant(3)
    way.channel.delta("c", [3])
    way.channel.delta("d", [4])
    await asyncio.sleep(0)
    assert way.wire.events == [Delta(7, "ab", [1, 2]), Delta(7, "c", [3])]
    way.channel.grant(1)
    await asyncio.sleep(0)
    assert way.wire.events[-1] == Delta(7, "d", [4])


async def test_what_a_delta_takes_beyond_the_credit_is_owed() -> None:
    way = Way(window=1)
    way.channel.delta("abc", [1, 2, 3])
    way.channel.delta("d", [4])
    way.channel.grant(2)
    await asyncio.sleep(0)
    assert way.wire.events == [Delta(7, "abc", [1, 2, 3])]
    way.channel.grant(1)
    await asyncio.sleep(0)
    assert way.wire.events == [Delta(7, "abc", [1, 2, 3]), Delta(7, "d", [4])]


async def test_much_that_is_held_goes_in_parts_each_for_its_credit() -> None:
    way = Way(window=0, max_backlog=10_000)
    for token in range(200):
        assert way.channel.delta("x", [token])
    way.channel.end(END)
    taken: list[int] = []
    while not way.channel.closed:
        way.channel.grant(64)
        await asyncio.sleep(0)
        new = [event for event in way.wire.events[len(taken) :] if isinstance(event, Delta)]
        taken += [len(event.ids) for event in new]
    assert taken == [64, 64, 64, 8]
    ids = [id for event in way.wire.events if isinstance(event, Delta) for id in event.ids]
    assert ids == list(range(200))


async def test_credit_without_anything_held_is_kept() -> None:
    way = Way(window=0)
    way.channel.grant(1)
    way.channel.delta("a", [1])
    await asyncio.sleep(0)
    assert way.wire.events == [Delta(7, "a", [1])]


async def test_the_backlog_has_a_limit() -> None:
    way = Way(window=0, max_backlog=9)
    assert way.channel.delta("12345", [1])
    assert not way.channel.delta("6", [2])


def logprob(token: bytes) -> TokenLogprob:
    return TokenLogprob(token, -1.0, ((token, -1.0),))


async def test_log_probabilities_go_and_merge_with_their_text() -> None:
    way = Way(window=1)
    way.channel.delta("a", [1], (logprob(b"a"),))
    way.channel.delta("b", [2], (logprob(b"b"),))
    way.channel.delta("c", [3])
    way.channel.delta("d", [4], (logprob(b"d"),))
    way.channel.grant(3)
    way.channel.delta("e", [5])
    way.channel.grant(1)
    await asyncio.sleep(0)
    assert way.wire.events == [
        LogprobDelta(7, "a", [1], (logprob(b"a"),)),
        LogprobDelta(7, "bcd", [2, 3, 4], (logprob(b"b"), logprob(b"d"))),
        Delta(7, "e", [5]),
    ]


async def test_log_probabilities_without_text_are_held_and_delivered_like_text() -> None:
    way = Way(window=0)
    way.channel.delta("", [1], (logprob(b""),))
    way.channel.end(END)
    assert not way.channel.closed
    way.channel.grant(1)
    await asyncio.sleep(0)
    assert way.wire.events == [LogprobDelta(7, "", [1], (logprob(b""),)), END]


async def test_thoughts_and_calls_go_and_merge_with_their_text() -> None:
    way = Way(window=1)
    call, other = ToolCall("f", "{}"), ToolCall("g", "{}")
    way.channel.delta("", [1], (), "a")
    way.channel.delta("", [2], (), "b")
    way.channel.delta("c", [3], (logprob(b"c"),))
    way.channel.delta("", [4], (), "", (call,))
    way.channel.delta("", [5], (), "", (other,))
    way.channel.grant(4)
    way.channel.delta("d", [6])
    way.channel.grant(1)
    await asyncio.sleep(0)
    assert way.wire.events == [
        MessageDelta(7, "", [1], (), "a"),
        MessageDelta(7, "c", [2, 3, 4, 5], (logprob(b"c"),), "b", (call, other)),
        Delta(7, "d", [6]),
    ]


async def test_thoughts_and_calls_count_into_the_backlog() -> None:
    assert not Way(window=0, max_backlog=100).channel.delta("", [1], (), "a" * 101)
    call = ToolCall("f", "a" * 100)
    assert not Way(window=0, max_backlog=100).channel.delta("", [1], (), "", (call,))


async def test_tokens_without_text_count_into_the_backlog() -> None:
    way = Way(window=0, max_backlog=100)
    assert way.channel.delta("", [1] * 25)
    assert not way.channel.delta("", [1])


async def test_log_probabilities_count_into_the_backlog() -> None:
    way = Way(window=0, max_backlog=100)
    assert way.channel.delta("1", [1], (logprob(b"1"),))
    assert way.channel.delta("2", [2], (logprob(b"2"),))
    assert not way.channel.delta("3", [3], (logprob(b"3"),))


async def test_a_backlog_of_log_probabilities_is_not_much_less_than_its_frame() -> None:
    way = Way(window=0, max_backlog=100_000)
    way.wire.most = 1 << 20
    many = TokenLogprob(b"token", -1.0, tuple((b"other%d" % n, -2.5) for n in range(20)))
    while way.channel.delta("token", [1000], (many,)):
        pass
    way.channel.grant(1)
    await asyncio.sleep(0)
    assert len(msgspec.msgpack.encode(way.wire.sent[0])) < 1.5 * 100_000


async def test_a_backlog_that_was_taken_does_not_count_any_more() -> None:
    way = Way(window=0, max_backlog=9)
    assert way.channel.delta("12345", [1])
    way.channel.grant(1)
    assert way.channel.delta("12345", [2])


async def test_a_failure_waits_for_no_reader_and_replaces_an_end_that_does() -> None:
    way = Way(window=0)
    way.channel.delta("held", [1])
    way.channel.end(END)
    way.channel.end(Failed(7, FAILURE))
    await asyncio.sleep(0)
    assert way.wire.events == [Failed(7, FAILURE)]
    assert way.channel.closed


async def test_nothing_follows_the_end() -> None:
    way = Way(window=5)
    way.channel.end(END)
    way.channel.end(Failed(7, FAILURE))
    way.channel.refuse(FAILURE)
    way.channel.put(Accepted(7))
    way.channel.discard()
    way.channel.grant(5)
    await asyncio.sleep(0)
    assert way.wire.events == [END]
    assert way.closed == 1


async def test_a_refusal_is_the_only_event_of_its_request() -> None:
    way = Way(window=5)
    way.channel.refuse(FAILURE)
    way.channel.put(Started(7, 1))
    await asyncio.sleep(0)
    assert way.wire.events == [Refused(7, FAILURE)]


async def test_a_reader_that_has_gone_is_sent_nothing() -> None:
    way = Way(window=0)
    way.channel.delta("held", [1])
    way.channel.discard()
    way.channel.grant(5)
    way.channel.end(END)
    await asyncio.sleep(0)
    assert way.wire.sent == []
    assert way.closed == 1
    await soon(way.channel.wait_closed())
