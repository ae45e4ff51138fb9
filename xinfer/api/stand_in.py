"""Answers health checks while the event loop is blocked and can answer nothing."""

from __future__ import annotations

import math
import selectors
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic

import msgspec

from xinfer.api.errors import HTTP, error_body
from xinfer.errors import Unavailable

_ALIVE = "/livez"
_READY = frozenset({"/readyz", "/health"})
_LOOK = 0.05
"""Seconds after which it is seen that the loop goes on."""
_PATIENCE = 0.2
"""Seconds that a new connection has to say what it wants."""
_HEAD = 2048
_MOST_HELD = 512
"""Connections that wait for the loop; further ones wait in the system's queue."""


class StandIn:
    """Takes new connections on another thread than the loop's. Those that ask how the process is
    are answered; all others are handed to the loop, unread, for when it goes on.

    Only for a process that listens alone: where there are several, another one answers.

    Args:
        listeners: what the loop listens on; used by copies, until `close`.
        hand_over: called on this other thread with a connection for the loop.
    """

    def __init__(
        self, listeners: Sequence[socket.socket], hand_over: Callable[[socket.socket], None]
    ) -> None:
        self._listeners = [listener.dup() for listener in listeners]
        self._hand_over = hand_over
        self._held = 0

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()

    def serve(self, seconds: float, since: float, is_blocked: Callable[[], bool]) -> None:
        """Answer for so long, or until the loop goes on.

        Args:
            since: when the loop was last seen, by the monotonic clock.
        """
        ends = monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            for listener in self._listeners:
                selector.register(listener, selectors.EVENT_READ)
            while self._held < _MOST_HELD and is_blocked() and monotonic() < ends:
                for key, _ in selector.select(_LOOK):
                    assert isinstance(key.fileobj, socket.socket)
                    with suppress(OSError):  # somebody else took it, or it has left already
                        connection, _ = key.fileobj.accept()
                        self._take(connection, monotonic() - since)
        if not is_blocked():
            self._held = 0

    def _take(self, connection: socket.socket, blocked: float) -> None:
        connection.settimeout(_PATIENCE)
        try:
            method, path = _request_line(connection.recv(_HEAD, socket.MSG_PEEK))
        except OSError:
            method, path = "", ""
        if path == _ALIVE or path in _READY:
            with connection, suppress(OSError):
                connection.recv(_HEAD)
                connection.sendall(_answer(path, blocked, body=method != "HEAD"))
                connection.shutdown(socket.SHUT_WR)
                connection.recv(_HEAD)  # until it has read that
            return
        connection.setblocking(False)
        self._held += 1
        self._hand_over(connection)


def _request_line(head: bytes) -> tuple[str, str]:
    """Method and path of a request for health; two empty texts for every other one."""
    words = head.partition(b"\r\n")[0].split(b" ")
    if len(words) != 3 or words[0] not in (b"GET", b"HEAD"):
        return "", ""
    return words[0].decode(), words[1].partition(b"?")[0].decode("latin-1")


def _answer(path: str, blocked: float, *, body: bool) -> bytes:
    if path == _ALIVE:
        status, content = "200 OK", msgspec.json.encode({"status": "ok"})
    else:
        busy = Unavailable(
            f"This process has been busy with one thing for {blocked:.1f} s and answers nothing "
            "meanwhile; its log says with what.",
            code="blocked",
            retry_after=1.0,
        )
        number = HTTP[Unavailable][0]
        status = f"{number} Service Unavailable\r\nRetry-After: {math.ceil(busy.retry_after or 1)}"
        content = msgspec.json.encode(error_body(busy))
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (content if body else b"")
