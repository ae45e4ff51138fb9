"""A TCP proxy that can do what networks do: deliver late, deliver nothing, and recover.

What it holds back it delivers afterwards, in order, as TCP does; nobody sees a connection break.
It runs on a thread of its own, so that it serves tests of processes and of coroutines alike.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

_CHUNK = 65536
_RETRANSMISSION = 0.2  # seconds, the least that Linux waits


class Proxy:
    """Listens on 127.0.0.1, `port`, for `target`: host:port, or the path of a unix socket.

    Args:
        delay, jitter: seconds each way; the jitter is random, from 0 on.
        loss: share of the chunks that take a retransmission longer.
    """

    def __init__(
        self, target: str, *, delay: float = 0.0, jitter: float = 0.0, loss: float = 0.0
    ) -> None:
        self._target = target
        self._delay, self._jitter, self._loss = delay, jitter, loss
        self._random = random.Random(7)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._passes = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self.chunks = 0
        """That were delivered."""
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._run(self._open())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def hold(self) -> None:
        """Deliver nothing from now on, neither data nor ends nor new connections."""
        self._loop.call_soon_threadsafe(self._passes.clear)

    def release(self) -> None:
        """Deliver what was held back, and all that comes."""
        self._loop.call_soon_threadsafe(self._passes.set)

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _open(self) -> None:
        self._passes.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        far: asyncio.StreamWriter | None = None
        try:
            await self._passes.wait()
            if "/" in self._target:
                far_reader, far = await asyncio.open_unix_connection(self._target)
            else:
                host, _, port = self._target.rpartition(":")
                far_reader, far = await asyncio.open_connection(host, int(port))
            await asyncio.gather(self._pipe(reader, far), self._pipe(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass  # one side has broken off, or the test is over: so does the other
        finally:
            self._connections.discard(task)
            for each in (writer, far):
                if each is not None:
                    each.close()

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Chunks on their way, each with the time at which it is due; b"" is the end."""
        on_their_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def take() -> None:
            due = 0.0
            while True:
                data = await reader.read(_CHUNK)
                due = max(due, self._loop.time() + self._travel())
                on_their_way.put_nowait((due, data))
                if not data:
                    return

        async def deliver() -> None:
            while True:
                due, data = await on_their_way.get()
                await asyncio.sleep(due - self._loop.time())
                await self._passes.wait()
                if not data:
                    writer.write_eof()
                    return
                self.chunks += 1
                writer.write(data)
                await writer.drain()

        taking, delivering = asyncio.ensure_future(take()), asyncio.ensure_future(deliver())
        try:
            await asyncio.gather(taking, delivering)
        finally:
            taking.cancel()
            delivering.cancel()

    def _travel(self) -> float:
        lost = self._random.random() < self._loss
        return self._delay + self._jitter * self._random.random() + _RETRANSMISSION * lost
