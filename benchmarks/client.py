"""`python -m benchmarks.client`: the load, in a process of its own.

It reads one plan as JSON on stdin and prints one outcome on stdout. HTTP is read just closely
enough to know where an answer ends, so that this process leaves the processor to the server.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from typing import Any, cast

import msgspec
import uvloop

from benchmarks.generations import GenerationLoad
from benchmarks.plan import Generations, Outcome, Requests, Streams
from benchmarks.window import Window
from benchmarks.wire import END_OF_STREAM, OK, TAIL_BYTES, WrongAnswer, http_request, tokens_told
from xinfer import system

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class _Load:
    """A plan being carried out; `done` has its outcome."""

    def __init__(self, plan: Requests | Streams) -> None:
        self.request = http_request(plan.target, plan.body)
        self.window = Window(plan.target.watch)
        self.done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def finish(self) -> None:
        assert self.window.outcome is not None
        if not self.done.done():
            self.done.set_result(self.window.outcome)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class RequestLoad(_Load):
    """Counts requests."""

    def __init__(self, plan: Requests) -> None:
        super().__init__(plan)
        self._warmup = plan.warmup
        self._count = plan.count
        self._latencies: list[float] = []

    def protocol(self) -> Requester:
        return Requester(self)

    def answered(self, latency: float) -> None:
        if not self.window.opened:
            self._warmup -= 1
            if self._warmup <= 0:
                self.window.open()
            return
        self._latencies.append(latency)
        if len(self._latencies) == self._count:
            self.window.close(self._count, latencies=self._latencies)
            self.finish()


class Requester(asyncio.Protocol):
    """One kept connection with one request on it at a time."""

    def __init__(self, load: RequestLoad) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._needed = 0
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._send()

    def _send(self) -> None:
        assert self._transport is not None
        self._data, self._needed = b"", 0
        self._sent = time.perf_counter()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._needed:
            head = self._data.find(b"\r\n\r\n")
            if head < 0:
                return
            length = _LENGTH.search(self._data, 0, head)
            if not self._data.startswith(OK) or length is None:
                self._load.fail(WrongAnswer(self._data[:2000].decode(errors="replace")))
                return
            self._needed = head + 4 + int(length[1])
        if len(self._data) >= self._needed:
            self._load.answered(time.perf_counter() - self._sent)
            if not self._load.done.done():
                self._send()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.fail(WrongAnswer(f"the server closed a kept connection: {error}"))


class StreamLoad(_Load):
    """Counts events."""

    def __init__(self, plan: Streams) -> None:
        super().__init__(plan)
        self.tokens = plan.tokens
        self.events = 0
        self._not_begun = self._running = plan.target.connections
        self._events_before = 0

    def protocol(self) -> StreamReader:
        return StreamReader(self)

    def begun(self) -> None:
        self._not_begun -= 1
        if self._not_begun == 0:
            self._events_before = self.events
            self.window.open()

    def about_to_end(self) -> None:
        if self.window.outcome is not None:
            return
        if not self.window.opened:
            self.fail(WrongAnswer("a stream ended before another began: too few tokens to measure"))
            return
        self.window.close(self.events - self._events_before)

    def ended(self) -> None:
        self._running -= 1
        if self._running == 0:
            self.finish()


class StreamReader(asyncio.Protocol):
    """One connection with one stream on it."""

    def __init__(self, load: StreamLoad) -> None:
        self._load = load
        self._events = 0
        self._cut = False
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._load.request)

    def data_received(self, data: bytes) -> None:
        load = self._load
        if not self._tail and not data.startswith(OK):
            load.fail(WrongAnswer(data[:2000].decode(errors="replace")))
            return
        # An event ends with an empty line, which two reads may share.
        events = data.count(b"\n\n") + (self._cut and data.startswith(b"\n"))
        self._cut = data.endswith(b"\n")
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        if events:
            first = not self._events
            self._events += events
            load.events += events
            if first:
                load.begun()
            if self._events >= load.tokens:
                load.about_to_end()
        if self._tail.endswith(END_OF_STREAM):
            self._end()

    def _end(self) -> None:
        tokens = self._load.tokens
        if tokens_told(self._tail) != tokens or self._events < tokens:
            # Where tokens shared an event, the events count something else.
            self._load.fail(
                WrongAnswer(
                    f"{tokens} tokens were to come, an event each; {self._events} events came, "
                    f"the last of them {self._tail.decode(errors='replace')}"
                )
            )
            return
        self._load.ended()

    def connection_lost(self, error: Exception | None) -> None:
        self._load.fail(WrongAnswer(f"the server closed a connection after {self._tail!r}"))


def _failure(context: dict[str, Any]) -> Exception:
    """What the event loop tells of a callback that failed."""
    error = context.get("exception")
    return error if isinstance(error, Exception) else RuntimeError(context["message"])


async def carry_out(plan: Requests | Streams | Generations) -> Outcome:
    """Put the plan's load on its server.

    Raises:
        WrongAnswer: the server answered something else, or not to the end.
        OSError: it could not be reached.
    """
    if isinstance(plan, Generations):
        return await GenerationLoad(plan).run()
    load = RequestLoad(plan) if isinstance(plan, Requests) else StreamLoad(plan)
    target = plan.target
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: load.fail(_failure(context)))
    transports = []
    try:
        for _ in range(target.connections):
            transport, _ = await loop.create_connection(load.protocol, target.host, target.port)
            transports.append(transport)
        return await load.done
    finally:
        for transport in transports:
            transport.abort()


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Requests | Streams | Generations)
    try:
        outcome = uvloop.run(carry_out(plan))
    except (WrongAnswer, OSError) as error:
        sys.exit(f"benchmarks.client: {error}")
    system.write_all(sys.stdout.fileno(), msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()
