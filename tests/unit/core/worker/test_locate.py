"""Finding the supervisor by its server's URL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from xinfer.core.worker.locate import (
    at_address,
    by_endpoint,
    own_address_towards,
    until_located,
)
from xinfer.errors import Unavailable

pytestmark = pytest.mark.anyio


@contextmanager
def server(*answers: tuple[int, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Gives these answers one after the other, the last again and again; its URL and the paths
    that were asked for."""
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}", asked
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


async def test_an_address_that_is_known_is_not_asked_for() -> None:
    assert await at_address("10.0.0.1:5000")() == "10.0.0.1:5000"


async def test_the_servers_api_tells_each_time_where_the_supervisor_is() -> None:
    with server((200, b'"10.0.0.1:5000"'), (200, b'"10.0.0.1:6000"')) as (url, asked):
        locate = by_endpoint(url + "/", 5.0)
        assert [await locate(), await locate()] == ["10.0.0.1:5000", "10.0.0.1:6000"]
        assert asked == ["/v1/address"] * 2


async def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    with server((200, b'"10.0.0.1:5000"')) as (url, _):
        assert await by_endpoint(url, 5.0)() == "10.0.0.1:5000"


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (404, b"{}", "Not Found"),
        (200, b"<html>", "cannot be reached"),
        (200, b'{"address": 1}', "answers with no address"),
        (200, b'"somewhere"', "answers with no address"),
    ],
)
async def test_what_is_no_address_is_told_with_the_url(
    status: int, body: bytes, complaint: str
) -> None:
    with server((status, body)) as (url, _), pytest.raises(Unavailable, match=complaint) as raised:
        await by_endpoint(url, 5.0)()
    assert url in str(raised.value)


async def test_a_server_that_is_away_is_waited_for_and_said_to_be_away_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with server((503, b""), (503, b""), (200, b'"10.0.0.1:5000"')) as (url, asked):
        assert await asyncio.wait_for(until_located(by_endpoint(url, 5.0), 0.01), 10) == (
            "10.0.0.1:5000"
        )
        assert len(asked) == 3
    assert caplog.text.count("Trying again until it answers") == 1


@pytest.mark.parametrize("far", ["127.0.0.1:9", "localhost:9", "::1:9"])
async def test_our_own_address_is_the_one_on_the_way_there(far: str) -> None:
    assert await own_address_towards(far) in ("127.0.0.1", "::1")
