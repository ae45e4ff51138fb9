"""Each prompt is sent once, so many at a time, and its answer's moments are told apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from benchmarks.generations import GenerationLoad, GenerationReader
from benchmarks.plan import Generations, Outcome, Target
from benchmarks.wire import WrongAnswer

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
TOKENS = 3


def chunk(event: bytes) -> bytes:
    data = b"data: " + event + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


NO_TEXT_YET = chunk(b'{"choices":[{"text": ""}]}')
TEXT = chunk(b'{"choices":[{"text": "x"}]}')


def end(told: int = TOKENS) -> bytes:
    return chunk(b'{"usage":{"completion_tokens":%d}}' % told) + chunk(b"[DONE]") + b"0\r\n\r\n"


class Wire(asyncio.Transport):
    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass


async def read(pieces: list[bytes]) -> GenerationReader:
    reader = GenerationReader(b"", TOKENS)
    reader.connection_made(Wire())
    for piece in pieces:
        reader.data_received(piece)
    assert reader.done.done()
    reader.done.result()
    return reader


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100_000])
def test_an_answer_ends_where_the_server_ends_it_however_it_is_cut(size: int) -> None:
    answer = HEAD + TEXT * TOKENS + end()
    pieces = [answer[start : start + size] for start in range(0, len(answer), size)]
    reader = asyncio.run(read(pieces))
    assert reader.sent <= reader.first <= reader.ended


def test_the_first_token_is_the_first_text_and_not_the_first_event() -> None:
    async def moments() -> tuple[float, float]:
        reader = GenerationReader(b"", TOKENS)
        reader.connection_made(Wire())
        reader.data_received(HEAD + NO_TEXT_YET)
        before = reader.first
        reader.data_received(TEXT)
        return before, reader.first

    before, after = asyncio.run(moments())
    assert not before
    assert after


def test_an_answer_of_another_length_is_wrong() -> None:
    with pytest.raises(WrongAnswer, match="3 tokens were to come, and the server tells of 2"):
        asyncio.run(read([HEAD + TEXT * 2 + end(told=2)]))


def test_an_answer_without_text_has_no_first_token_and_is_wrong() -> None:
    with pytest.raises(WrongAnswer, match="3 tokens were to come"):
        asyncio.run(read([HEAD + NO_TEXT_YET + end()]))


def test_a_refusal_is_shown_as_the_server_told_it() -> None:
    with pytest.raises(WrongAnswer, match="busy"):
        asyncio.run(read([b"HTTP/1.1 503 Service Unavailable\r\n\r\nbusy"]))


class Counting:
    """A server that answers once it has `streams` requests at a time, or all `total` of them."""

    def __init__(self, answer: bytes, *, streams: int, total: int) -> None:
        self.bodies: list[bytes] = []
        self.most = self._now = 0
        self._answer = answer
        self._streams = streams
        self._total = total
        self._changed = asyncio.Condition()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        self.bodies.append(await reader.readexactly(length))
        async with self._changed:
            self._now += 1
            self.most = max(self.most, self._now)
            self._changed.notify_all()
            await asyncio.wait_for(self._changed.wait_for(self._enough), 10)
        # Any more that were sent at the same time are read now.
        for _ in range(20):
            await asyncio.sleep(0)
        self._now -= 1
        writer.write(self._answer)
        writer.close()

    def _enough(self) -> bool:
        return self._now >= self._streams or len(self.bodies) == self._total

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        async with server:
            yield server.sockets[0].getsockname()[1]


def carried_out(answer: bytes, bodies: list[bytes], streams: int) -> tuple[Outcome, Counting]:
    async def carry_out() -> tuple[Outcome, Counting]:
        server = Counting(answer, streams=streams, total=len(bodies))
        async with server.running() as port:
            target = Target(port=port, path="/", connections=streams, watch={})
            plan = Generations(target=target, bodies=bodies, tokens=TOKENS)
            return await GenerationLoad(plan).run(), server

    return asyncio.run(carry_out())


def test_every_prompt_is_sent_once_and_no_more_at_a_time_than_asked_for() -> None:
    bodies = [b"%d" % number for number in range(7)]
    outcome, server = carried_out(HEAD + TEXT * TOKENS + end(), bodies, streams=3)
    assert sorted(server.bodies) == bodies
    assert server.most == 3
    assert outcome.items == 7 * TOKENS
    assert len(outcome.firsts) == len(outcome.gaps) == len(outcome.latencies) == 7


def test_one_wrong_answer_ends_the_measurement() -> None:
    with pytest.raises(WrongAnswer, match="tells of 1"):
        carried_out(HEAD + TEXT + end(told=1), [b"a", b"b"], streams=2)
