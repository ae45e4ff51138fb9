"""A stream whose replica is lost: nothing is missing, nothing comes twice, and each attempt is
granted what was taken of it alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinfer.core.gateway import ResponseStream
from xinfer.core.gateway.replica_link import Attempt
from xinfer.core.replica.outbox import Channel, Outbox
from xinfer.errors import ReplicaLost, XinferError
from xinfer.types.event import Delta, Finished, Started, Usage
from xinfer.types.link import Credit, FromReplica, Load, Step

pytestmark = pytest.mark.anyio


class Lost:
    """Gives text that no token stands for, then nothing any more."""

    def __init__(self) -> None:
        self._events: list[list[Delta]] = [[Delta(1, "the prompt", [])]]

    async def take(self) -> list[Delta]:
        if not self._events:
            raise ReplicaLost("it died")
        return self._events.pop()

    def credit(self, deltas: int) -> None: ...


async def test_what_was_delivered_is_not_delivered_again() -> None:
    async def restart(error: XinferError, delivered: Sequence[int]) -> NoReturn:
        raise AssertionError("begun anew")

    attempt: Any = Lost()
    stream = ResponseStream(attempt, Started(1, 3), restart, resumable=True)
    assert await anext(stream) == [Delta(1, "the prompt", [])]
    with pytest.raises(ReplicaLost, match="it died"):
        await anext(stream)


@dataclass(frozen=True)
class Make:
    """The replica makes a delta of so many tokens."""

    tokens: int


READ, LOSE = "read", "lose"
TOKENS = 400
ACTIONS = st.lists(
    st.one_of(st.builds(Make, st.integers(1, 90)), st.just(READ), st.sampled_from([READ, LOSE])),
    max_size=40,
)


class Held:
    """An attempt and its replica's end of it, which makes the tokens 0, 1, 2, … and their texts."""

    def __init__(self, window: int, done: int) -> None:
        self.credit_step = max(1, window // 4)  # as a link has it
        self.done, self.sent, self.granted = done, 0, 0
        self.lost = False
        self.attempt = Attempt(self, 1)  # type: ignore[arg-type]
        outbox = Outbox(self._Wire(self), lambda: Load(0, 0, 1))  # type: ignore[arg-type]
        self._outbox = outbox
        self._channel = Channel(1, window, 1 << 30, outbox, lambda: None)

    @dataclass
    class _Wire:
        held: Held

        def send(self, payload: bytes) -> None:
            step = msgspec.msgpack.decode(payload, type=FromReplica)
            assert isinstance(step, Step)
            for event in step.events:
                if isinstance(event, Delta):
                    self.held.sent += event.cost
                self.held.attempt.on_event(event, isinstance(event, Finished))

    def send(self, message: Credit) -> None:
        """Of the attempt, to its replica."""
        self.granted += message.amount
        assert self.granted <= self.sent
        if not self.lost:
            self._channel.grant(message.amount)
            self._outbox.flush()

    def make(self, tokens: int) -> None:
        ids = list(range(self.done, min(TOKENS, self.done + tokens)))
        if ids and not self.lost:
            self.done += len(ids)
            self._channel.delta("".join(f"{one};" for one in ids), ids)
            self._outbox.flush()

    def end(self) -> None:
        self._channel.end(Finished(1, "stop", Usage()))
        self._outbox.flush()

    def lose(self) -> None:
        self.lost = True
        self.attempt.on_lost("killed")


@given(window=st.integers(1, 300), actions=ACTIONS)
def test_all_text_comes_once_and_in_order_whatever_is_lost_and_however_slowly_it_is_read(
    window: int, actions: list[Make | str]
) -> None:
    async def run() -> None:
        holding = [Held(window, 0)]

        async def restart(error: XinferError, delivered: Sequence[int]) -> tuple[Attempt, Started]:
            holding.append(Held(window, len(delivered)))
            return holding[-1].attempt, Started(1, 3)

        stream = ResponseStream(holding[0].attempt, Started(1, 3), restart, resumable=True)
        may_read = asyncio.Semaphore(0)
        texts: list[str] = []

        async def read() -> None:
            while True:
                await may_read.acquire()
                for event in await anext(stream):
                    if isinstance(event, Finished):
                        return
                    texts.append(event.text)

        async def settle() -> None:
            for _ in range(4):
                await asyncio.sleep(0)

        reading = asyncio.create_task(read())
        for action in actions:
            if isinstance(action, Make):
                holding[-1].make(action.tokens)
            elif action == READ:
                may_read.release()
            else:
                holding[-1].lose()
            await settle()
        for _ in range(TOKENS + len(actions)):
            may_read.release()
        await settle()
        holding[-1].make(TOKENS)
        await settle()
        holding[-1].end()
        for _ in range(10 * TOKENS):
            await asyncio.sleep(0)
        assert reading.done(), "the end did not come"
        await reading
        assert "".join(texts) == "".join(f"{one};" for one in range(TOKENS))

    asyncio.run(run())
