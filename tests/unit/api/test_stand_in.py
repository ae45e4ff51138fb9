"""While an event loop is blocked: who is answered, and who waits for it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from xinfer.api import stand_in as stand_in_module
from xinfer.api.stand_in import StandIn


class Blocked:
    """A listener whose loop is blocked until `go_on`, and what is kept for it."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.held: list[socket.socket] = []
        self.got = threading.Event()
        self.blocked = True
        self.stand_in = StandIn([self.listener], self._hold)
        self.thread = threading.Thread(
            target=self.stand_in.serve, args=(20.0, time.monotonic() - 7.0, lambda: self.blocked)
        )
        self.thread.start()

    def _hold(self, connection: socket.socket) -> None:
        self.held.append(connection)
        self.got.set()

    def connect(self) -> socket.socket:
        return socket.create_connection(self.listener.getsockname(), timeout=10)

    def go_on(self) -> None:
        self.blocked = False
        self.thread.join(10)
        assert not self.thread.is_alive()

    def close(self) -> None:
        self.go_on()
        self.stand_in.close()
        self.listener.close()
        for connection in self.held:
            connection.close()


@contextmanager
def blocked() -> Iterator[Blocked]:
    made = Blocked()
    try:
        yield made
    finally:
        made.close()


def ask(room: Blocked, head: bytes) -> bytes:
    with room.connect() as connection:
        connection.sendall(head)
        answer = b""
        while more := connection.recv(4096):
            answer += more
    return answer


@pytest.mark.parametrize(
    ("line", "status", "part"),
    [
        (b"GET /livez HTTP/1.1", b"200 OK", b'{"status":"ok"}'),
        (b"GET /readyz HTTP/1.1", b"503 Service Unavailable", b'"code":"blocked"'),
        (b"GET /readyz?model=a HTTP/1.0", b"503 Service Unavailable", b"for 7."),
        (b"GET /health HTTP/1.1", b"503 Service Unavailable", b"Retry-After: 1\r\n"),
        (b"HEAD /livez HTTP/1.1", b"200 OK", b"Content-Length: 15\r\n"),
    ],
)
def test_whoever_asks_for_health_is_answered(line: bytes, status: bytes, part: bytes) -> None:
    with blocked() as room:
        answer = ask(room, line + b"\r\nHost: here\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert part in answer
    assert answer.endswith(b"\r\n\r\n") is line.startswith(b"HEAD")
    assert room.held == []


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /v1/models HTTP/1.1\r\n\r\n",
        b"POST /livez HTTP/1.1\r\n\r\n",
        b"GET /livezz HTTP/1.1\r\n\r\n",
        b"GET /livez",
        b"\x16\x03\x01",
        b"",
    ],
)
def test_everybody_else_is_handed_to_the_loop_unread(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_in_module, "_PATIENCE", 0.01)
    with blocked() as room, room.connect() as connection:
        connection.sendall(sent)
        assert room.got.wait(10)
        (held,) = room.held
        assert held.getblocking() is False
        held.settimeout(10)
        if sent:
            assert held.recv(4096) == sent


def test_so_many_are_held_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stand_in_module, "_PATIENCE", 0.01)
    monkeypatch.setattr(stand_in_module, "_MOST_HELD", 2)
    with blocked() as room:
        connections = [room.connect() for _ in range(3)]
        room.thread.join(10)
        assert len(room.held) == 2
        third, _ = room.listener.accept()  # is left to the loop
        for each in (*connections, third):
            each.close()


def test_it_ends_when_the_loop_goes_on() -> None:
    with blocked() as room:
        room.go_on()
        with room.connect():
            assert not room.got.wait(0.1)
