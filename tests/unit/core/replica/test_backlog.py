"""What is held for a slow reader: it gets all that is made, once and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from xinfer.core.replica.backlog import Backlog, build_delta
from xinfer.core.replica.outbox import Channel, Outbox
from xinfer.errors import Cancelled
from xinfer.types.event import (
    Delta,
    Event,
    Failed,
    Finished,
    LogprobDelta,
    MessageDelta,
    TokenLogprob,
    ToolCall,
    Usage,
)
from xinfer.types.failure import Failure
from xinfer.types.link import FromReplica, Load, Step

END = Finished(7, "stop", Usage(1, 2))
FAILED = Failed(7, Failure.of(Cancelled("enough")))


@dataclass(frozen=True)
class Made:
    """One piece of output: which of its kinds are in it, and how many tokens."""

    text: bool
    reasoning: bool
    calls: bool
    logprobs: bool
    tokens: int


@dataclass(frozen=True)
class Grant:
    amount: int


MADE = st.builds(
    Made,
    text=st.booleans(),
    reasoning=st.booleans(),
    calls=st.booleans(),
    logprobs=st.booleans(),
    tokens=st.one_of(st.integers(0, 3), st.integers(60, 300)),
)
ACTIONS = st.lists(st.one_of(MADE, MADE, st.builds(Grant, st.integers(1, 100))), max_size=40)


def built(made: Made, number: int) -> Delta:
    """With a text of its own, so that a piece that is lost or comes twice is seen."""
    return build_delta(
        7,
        f"t{number};" if made.text else "",
        list(range(number * 1000, number * 1000 + made.tokens)),
        (TokenLogprob(b"%d" % number, -1.0),) if made.logprobs else (),
        f"r{number};" if made.reasoning else "",
        (ToolCall(f"f{number}", "{}"),) if made.calls else (),
    )


def pieces(deltas: list[Delta]) -> list[str]:
    """All that is said, in the order that it is said in."""

    def of(delta: Delta) -> Iterator[str]:
        if isinstance(delta, MessageDelta):
            yield from filter(None, delta.reasoning.split(";"))
        yield from filter(None, delta.text.split(";"))
        if isinstance(delta, MessageDelta):
            yield from (call.name for call in delta.calls)

    return [piece for delta in deltas for piece in of(delta)]


def logprobs(deltas: list[Delta]) -> list[TokenLogprob]:
    return [one for delta in deltas if isinstance(delta, LogprobDelta) for one in delta.logprobs]


class Wire:
    """In the place of a link: the events that came by it."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def send(self, payload: bytes) -> None:
        step = msgspec.msgpack.decode(payload, type=FromReplica)
        assert isinstance(step, Step)
        self.events += step.events


@given(
    window=st.integers(0, 300),
    actions=ACTIONS,
    last=st.sampled_from(["end", "fail", "discard"]),
    late=st.lists(st.builds(Grant, st.integers(1, 100)), max_size=8),
)
def test_whatever_is_made_and_granted_all_of_it_comes_once_in_order_and_within_the_credit(
    window: int, actions: list[Made | Grant], last: str, late: list[Grant]
) -> None:
    async def run() -> None:
        wire = Wire()
        closed: list[int] = []
        outbox = Outbox(wire, lambda: Load(0, 0, 1))  # type: ignore[arg-type]
        channel = Channel(7, window, 1 << 30, outbox, lambda: closed.append(1))
        granted = window
        whole: list[Delta] = []

        def deltas() -> list[Delta]:
            outbox.flush()
            return [event for event in wire.events if isinstance(event, Delta)]

        def check() -> None:
            sent = deltas()
            spent = sum(delta.cost for delta in sent)
            beyond = sent[-1].cost if sent else 0
            assert spent - beyond < granted or not sent
            assert pieces(sent) == pieces(whole)[: len(pieces(sent))]
            if spent < granted and last != "discard" and not channel.closed:
                assert pieces(sent) == pieces(whole)

        for number, action in enumerate(actions):
            if isinstance(action, Made):
                delta = built(action, number)
                whole.append(delta)
                shown = delta if isinstance(delta, MessageDelta) else None
                told = delta.logprobs if isinstance(delta, LogprobDelta) else ()
                assert channel.delta(
                    delta.text,
                    delta.ids,
                    told,
                    shown.reasoning if shown else "",
                    shown.calls if shown else (),
                )
            else:
                granted += action.amount
                channel.grant(action.amount)
            check()
        if last == "discard":
            channel.discard()
        else:
            channel.end(END if last == "end" else FAILED)
        before = len(wire.events)
        for grant in late:
            granted += grant.amount
            channel.grant(grant.amount)
            check()
        if last == "end" and not channel.closed:
            channel.grant(1 << 20)
        sent = deltas()
        assert channel.closed
        assert closed == [1]
        if last == "end":
            assert wire.events[-1] == END
            assert pieces(sent) == pieces(whole)
            assert [token for delta in sent for token in delta.ids] == [
                token for delta in whole for token in delta.ids
            ]
            assert logprobs(sent) == logprobs(whole)
        elif last == "fail":
            assert wire.events[-1] == FAILED
        else:
            assert len(wire.events) == before
        ends = [event for event in wire.events if isinstance(event, Finished | Failed)]
        assert len(ends) == (last != "discard")

    asyncio.run(run())


@given(st.lists(MADE, max_size=40))
def test_what_is_held_has_no_size_once_it_was_taken(made: list[Made]) -> None:
    backlog = Backlog(7)
    for number, one in enumerate(made):
        backlog.add(built(one, number))
    taken = []
    while backlog:
        taken.append(backlog.take())
    assert backlog.size == 0
    assert pieces(taken) == pieces([built(one, number) for number, one in enumerate(made)])


def test_what_is_held_is_taken_in_pieces_that_tokens_bound() -> None:
    backlog = Backlog(7)
    for number in range(1000):
        backlog.add(Delta(7, "a", [number]))
    taken = []
    while backlog:
        taken.append(backlog.take())
    assert max(delta.cost for delta in taken) <= 64
    assert len(taken) <= 16
