"""uvicorn's HTTP protocol, with the bounds on clients that it leaves open.

A client has a limited time to send a request, for its headers and body together; headers have a
limited size; and a reader that takes nothing of its answer for a while loses its connection, by
which its request is cancelled.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from xinfer.api.errors import HTTP, error_body
from xinfer.errors import DeadlineExceeded, PayloadTooLarge, XinferError
from xinfer.settings import Settings

_LINGER = 2.0
"""Seconds for which a refused client may go on sending before it is cut off."""


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Timers run only while a client owes something."""

    settings: Settings

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._receiving = True
        self._in_headers = True
        self._header_bytes = 0
        self._refused = False
        self._request_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm_request_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm_request_timer()
        self._disarm_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if not self._receiving:
            return
        if self._in_headers:
            self._header_bytes += len(data)
            if self._header_bytes > self.settings.max_header_bytes:
                self._refuse(
                    PayloadTooLarge(
                        f"The headers are larger than {self.settings.max_header_bytes} bytes."
                    )
                )
                return
        if self._request_timer is None:
            self._arm_request_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._receiving = self._in_headers = True

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._header_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._receiving = False
        self._disarm_request_timer()
        super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._arm_write_timer()

    def resume_writing(self) -> None:
        self._disarm_write_timer()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Abort, not close: closing would wait for a reader that may never take the rest."""
        self.transport.abort()

    def _arm_request_timer(self) -> None:
        timeout = self.settings.http_request_timeout
        self._request_timer = self.loop.call_later(timeout, self._request_timed_out)

    def _disarm_request_timer(self) -> None:
        if self._request_timer is not None:
            self._request_timer.cancel()
            self._request_timer = None

    def _request_timed_out(self) -> None:
        self._request_timer = None
        if self.cycle is None and self._header_bytes == 0:
            self.transport.close()  # nothing was asked, so nothing is answered
            return
        self._refuse(
            DeadlineExceeded(
                "The request did not arrive whole within "
                f"{self.settings.http_request_timeout:g} seconds."
            )
        )

    def _refuse(self, error: XinferError) -> None:
        """Answer in the middle of a request, unless an answer has begun, and hang up.

        What the client still sends is dropped for a moment: closing at once would reset the
        connection, and the answer with it.
        """
        if self.transport.is_closing():
            return
        self._refused = True
        cycle = self.cycle
        answering = cycle is not None and not cycle.response_complete
        if not (answering and cycle.response_started):
            body = msgspec.json.encode(error_body(error))
            self.transport.write(
                STATUS_LINE[HTTP[type(error)][0]]
                + b"content-type: application/json\r\nconnection: close\r\ncontent-length: "
                + b"%d\r\n\r\n%b" % (len(body), body)
            )
        if answering:
            cycle.disconnected = True
            cycle.message_event.set()
        self._disarm_request_timer()
        self._request_timer = self.loop.call_later(_LINGER, self.transport.abort)
        if self.transport.can_write_eof():  # not over TLS, where the header has to do
            self.transport.write_eof()

    def _arm_write_timer(self) -> None:
        left = self._unwritten()
        self._write_timer = self.loop.call_later(
            self.settings.stream_write_timeout, self._write_timed_out, left
        )

    def _disarm_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _write_timed_out(self, before: int) -> None:
        """Nothing is added while writing is paused, so that less means that the reader reads."""
        self._write_timer = None
        if self._unwritten() < before:
            self._arm_write_timer()
        else:
            self.logger.warning("A reader took nothing for a while; its connection is closed.")
            self.transport.abort()

    def _unwritten(self) -> int:
        return self.transport.get_write_buffer_size()


def bounded_protocol(settings: Settings) -> type[BoundedProtocol]:
    """The protocol class for uvicorn, which makes the instances itself."""
    return type("BoundedHttpProtocol", (BoundedProtocol,), {"settings": settings})
