"""One link: the protocol object that both ends share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from xinfer.core.link.frames import KEEPALIVE, FrameDecoder, FrameTooLarge, encode_frame
from xinfer.settings import Settings

_HANDSHAKE_BYTES = 512


class LinkClosed(ConnectionError):
    """The link has ended; nothing can be sent on it."""


class LinkHandler(Protocol):
    """What a link's user gives it; called on the event loop."""

    def on_frame(self, link: Link, payload: bytes) -> None:
        """One whole frame has come."""
        ...

    def on_lost(self, link: Link, reason: str) -> None:
        """The link has ended, whoever ended it; called once, after the last frame."""
        ...


class Link(asyncio.Protocol):
    """A stream of frames. Made by `connect` and `serve`, which attach the handler."""

    def __init__(self, settings: Settings) -> None:
        self.peer = ""
        self._settings = settings
        self._handler: LinkHandler | None = None
        self._gate: Callable[[bytes], None] | None = None
        self._gate_lost: Callable[[str], None] | None = None
        self._decoder = FrameDecoder(_HANDSHAKE_BYTES)
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._reason: str | None = None
        self._paused = False
        self._resumed: list[asyncio.Future[None]] = []
        self._sent_something = False
        self._last_received = 0.0
        self._next_tick = 0.0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def closed(self) -> bool:
        return self._reason is not None

    def guard(self, gate: Callable[[bytes], None], lost: Callable[[str], None]) -> None:
        """Until `attach`: hand frames, small ones only, to `gate`, and the end to `lost`."""
        self._gate, self._gate_lost = gate, lost

    def attach(self, handler: LinkHandler) -> None:
        """Begin handing frames to `handler`, and keep the link alive."""
        self._handler, self._gate = handler, None
        self._decoder.max_bytes = self._settings.max_frame_bytes
        self._last_received = self._loop.time()
        self._schedule_tick()

    def send(self, payload: bytes) -> None:
        """Send one frame; returns at once.

        What a peer does not take is bounded by the credits of what is sent; beyond
        `max_frame_bytes` of it the peer is given up.

        Raises:
            LinkClosed: the link has ended.
            FrameTooLarge: the peer would end the link over it.
        """
        if self._reason is not None or self._transport is None:
            raise LinkClosed(self._reason or "not connected")
        if len(payload) > self._settings.max_frame_bytes:
            raise FrameTooLarge(
                f"a frame of {len(payload)} bytes; the limit is {self._settings.max_frame_bytes}"
            )
        self._sent_something = True
        self._transport.write(encode_frame(payload))
        if (
            self._paused
            and self._transport.get_write_buffer_size() > 2 * self._settings.max_frame_bytes
        ):
            self._end("the peer stopped reading")

    async def drained(self) -> None:
        """Return when the peer has taken most of what was sent, or the link has ended."""
        if self._paused and self._reason is None:
            resumed = self._loop.create_future()
            self._resumed.append(resumed)
            await resumed

    def close(self, reason: str = "closed") -> None:
        """End the link after what was sent has gone out; `on_lost` follows.

        A peer that takes nothing any more is given up after `link_deadline`.
        """
        if self._transport is not None and self._reason is None:
            self._reason = reason
            self._transport.close()

    def abort(self, reason: str) -> None:
        """End the link now, for this reason."""
        self._end(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        name = transport.get_extra_info("peername")
        self.peer = f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "local"

    def data_received(self, data: bytes) -> None:
        self._last_received = self._loop.time()
        while True:
            try:
                frames = self._decoder.feed(data)
            except FrameTooLarge as error:
                self._end(str(error))
                return
            if not frames:
                return
            for frame in frames:
                if self._reason is not None:
                    return
                if self._gate is not None:
                    self._gate(frame)
                elif self._handler is not None:
                    self._handler.on_frame(self, frame)
            data = b""

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake()

    def _wake(self) -> None:
        resumed, self._resumed = self._resumed, []
        for waiter in resumed:
            if not waiter.done():
                waiter.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._reason is None:
            self._reason = str(error) if error else "the peer closed the link"
        if self._timer is not None:
            self._timer.cancel()
        self._wake()
        handler, self._handler = self._handler, None
        if self._gate is not None and self._gate_lost is not None:
            self._gate = None
            self._gate_lost(self._reason)
        elif handler is not None:
            handler.on_lost(self, self._reason)

    def _schedule_tick(self) -> None:
        self._next_tick = self._loop.time() + self._settings.link_ping_interval
        self._timer = self._loop.call_at(self._next_tick, self._tick)

    def _tick(self) -> None:
        now = self._loop.time()
        # A stall of our own loop is not the peer's silence: what it sent is still to be read.
        self._last_received += max(0.0, now - self._next_tick)
        silence = now - self._last_received
        if silence > self._settings.link_deadline:
            self._end(f"the peer was silent for {silence:.0f} s")
            return
        if not self._sent_something and self._transport is not None and self._reason is None:
            self._transport.write(KEEPALIVE)
        self._sent_something = False
        self._schedule_tick()

    def _end(self, reason: str) -> None:
        if self._reason is None:
            self._reason = reason
        if self._transport is not None:
            self._transport.abort()
