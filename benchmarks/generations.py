"""Answers of a language model, read as they come."""

from __future__ import annotations

import asyncio
import re
import time
from typing import cast

from benchmarks.plan import Generations, Outcome
from benchmarks.window import Window
from benchmarks.wire import END_OF_BODY, OK, TAIL_BYTES, WrongAnswer, http_request, tokens_told

_TEXT = re.compile(rb'"text": ?"[^"]')


class GenerationLoad:
    """A plan of generations being carried out."""

    def __init__(self, plan: Generations) -> None:
        self._plan = plan
        self._bodies = iter(plan.bodies)
        self._firsts: list[float] = []
        self._gaps: list[float] = []
        self._latencies: list[float] = []

    async def run(self) -> Outcome:
        """
        Raises:
            WrongAnswer: the server answered something else, or not to the end.
            OSError: it could not be reached.
        """
        window = Window(self._plan.target.watch)
        window.open()
        lanes = [asyncio.ensure_future(self._lane()) for _ in range(self._plan.target.connections)]
        try:
            await asyncio.gather(*lanes)
        finally:
            for lane in lanes:
                lane.cancel()
        return window.close(
            len(self._plan.bodies) * self._plan.tokens,
            latencies=self._latencies,
            firsts=self._firsts,
            gaps=self._gaps,
        )

    async def _lane(self) -> None:
        """One request after the other, while there are any."""
        for body in self._bodies:
            answer = await self._answer(body)
            self._firsts.append(answer.first - answer.sent)
            self._latencies.append(answer.ended - answer.sent)
            if self._plan.tokens > 1:
                self._gaps.append((answer.ended - answer.first) / (self._plan.tokens - 1))

    async def _answer(self, body: bytes) -> GenerationReader:
        target = self._plan.target
        reader = GenerationReader(http_request(target, body), self._plan.tokens)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: reader, target.host, target.port)
        try:
            await reader.done
        finally:
            transport.abort()
        return reader


class GenerationReader(asyncio.Protocol):
    """One connection with one answer on it; `done` when it has come whole.

    `sent`, `first` and `ended` are the moments of the request, the first token and the end.
    """

    def __init__(self, request: bytes, tokens: int) -> None:
        self._request = request
        self._tokens = tokens
        self._head = b""
        self._tail = b""
        self.sent = self.first = self.ended = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.sent = time.perf_counter()
        cast(asyncio.Transport, transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if not self.first:
            self._head += data
            if not self._head.startswith(OK[: len(self._head)]):
                self._fail(self._head[:2000].decode(errors="replace"))
                return
            if _TEXT.search(self._head):
                self.first = now
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        if self._tail.endswith(END_OF_BODY):  # completions of Xinference have no last event
            self.ended = now
            self._end()

    def _end(self) -> None:
        told = tokens_told(self._tail)
        if told != self._tokens or not self.first:
            self._fail(
                f"{self._tokens} tokens were to come, and the server tells of {told}; "
                f"the end of its answer: {self._tail.decode(errors='replace')}"
            )
        elif not self.done.done():
            self.done.set_result(None)

    def _fail(self, message: str) -> None:
        if not self.done.done():
            self.done.set_exception(WrongAnswer(message))

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"the server closed a connection after {self._tail!r}: {error}")
