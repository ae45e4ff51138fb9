"""The load counts exactly what the server sent, however the reads fall."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from benchmarks.client import RequestLoad, StreamLoad
from benchmarks.plan import Outcome, Requests, Streams, Target
from benchmarks.wire import WrongAnswer

TOKENS = 20
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"text": "x"}'


class Wire(asyncio.Transport):
    """Remembers what was sent on it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))


def target(connections: int = 1) -> Target:
    return Target(host="127.0.0.1", port=1, path="/", connections=connections, watch={})


def chunk(event: bytes) -> bytes:
    data = b"data: " + event + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream(events: int, told: int) -> bytes:
    """A whole answer: `events` of text, then a usage of `told` tokens, then the end."""
    return (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        + chunk(b'{"text":"x"}') * events
        + chunk(b'{"usage":{"completion_tokens":%d}}' % told)
        + chunk(b"[DONE]")
        + b"0\r\n\r\n"
    )


def cut(data: bytes, size: int) -> list[bytes]:
    """In pieces of `size`, after a first one with the status line."""
    return [data[:16], *(data[start : start + size] for start in range(16, len(data), size))]


def read_stream(pieces: Iterable[bytes]) -> tuple[int, Outcome]:
    async def read() -> tuple[int, Outcome]:
        load = StreamLoad(Streams(target=target(), body=b"{}", tokens=TOKENS))
        reader = load.protocol()
        reader.connection_made(Wire())
        for piece in pieces:
            reader.data_received(piece)
        assert load.done.done()
        return load.events, load.done.result()

    return asyncio.run(read())


@pytest.mark.parametrize("size", [1, 2, 3, 20, 21, 22, 100_000])
def test_events_are_counted_once_wherever_the_reads_cut_them(size: int) -> None:
    events, _ = read_stream(cut(stream(TOKENS, told=TOKENS), size))
    assert events == TOKENS + 2


def test_only_events_between_the_first_and_the_last_token_are_measured() -> None:
    _, outcome = read_stream(cut(stream(TOKENS, told=TOKENS), 1))
    assert outcome.items == TOKENS - 1


def test_streams_that_do_not_overlap_cannot_be_measured() -> None:
    async def read() -> None:
        load = StreamLoad(Streams(target=target(connections=2), body=b"{}", tokens=TOKENS))
        reader = load.protocol()
        reader.connection_made(Wire())
        reader.data_received(stream(TOKENS, told=TOKENS))
        load.done.result()

    with pytest.raises(WrongAnswer, match="before another began"):
        asyncio.run(read())


def test_tokens_that_share_an_event_are_not_counted_as_one() -> None:
    with pytest.raises(WrongAnswer, match="an event each"):
        read_stream([stream(TOKENS // 2, told=TOKENS)])


def test_an_answer_of_another_length_than_asked_for_is_wrong() -> None:
    with pytest.raises(WrongAnswer, match="20 tokens were to come"):
        read_stream([stream(TOKENS + 5, told=TOKENS + 5)])


def test_an_error_is_shown_as_the_server_told_it() -> None:
    with pytest.raises(WrongAnswer, match="busy"):
        read_stream([b"HTTP/1.1 503 Service Unavailable\r\n\r\nbusy"])


def test_a_connection_that_ends_in_the_middle_is_wrong() -> None:
    async def read() -> None:
        load = StreamLoad(Streams(target=target(), body=b"{}", tokens=TOKENS))
        reader = load.protocol()
        reader.connection_made(Wire())
        reader.data_received(stream(TOKENS, told=TOKENS)[:400])
        reader.connection_lost(None)
        load.done.result()

    with pytest.raises(WrongAnswer, match="closed a connection"):
        asyncio.run(read())


@pytest.mark.parametrize("size", [1, 5, 100_000])
def test_the_next_request_goes_out_when_the_answer_is_whole(size: int) -> None:
    async def send() -> None:
        load = RequestLoad(Requests(target=target(), body=b"{}", warmup=1, count=3))
        wire = Wire()
        requester = load.protocol()
        requester.connection_made(wire)
        for answered in range(4):
            assert len(wire.sent) == answered + 1
            assert not load.done.done()
            for piece in cut(ANSWER, size):
                requester.data_received(piece)
        # The first was the warm-up; nothing is sent once the rest are done.
        assert len(wire.sent) == 4
        assert load.done.result().items == len(load.done.result().latencies) == 3

    asyncio.run(send())


def test_a_request_that_is_refused_is_wrong() -> None:
    async def send() -> None:
        load = RequestLoad(Requests(target=target(), body=b"{}", warmup=1, count=3))
        requester = load.protocol()
        requester.connection_made(Wire())
        requester.data_received(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 3\r\n\r\nbad")
        load.done.result()

    with pytest.raises(WrongAnswer, match="bad"):
        asyncio.run(send())
