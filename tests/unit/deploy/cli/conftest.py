"""A server made of answers, on a real socket, and ways to run the command against it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from click.testing import CliRunner, Result

from xinfer.deploy.cli import main

# Under some shells a child starts with SIGINT ignored; a terminal's does not.
_CHILD = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from xinfer.deploy.cli import main; main(prog_name='xinference')"
)


@dataclass(frozen=True)
class Failure:
    """An answer with an error status."""

    status: int
    detail: str


@dataclass
class Stream:
    """An answer of server-sent events. With `hold` it stays open until the client leaves,
    which sets `left`."""

    events: list[Any]
    hold: bool = False
    left: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Request:
    route: str
    query: dict[str, str]
    body: Any
    authorization: str | None


class FakeServer:
    """Answers "METHOD /path" with what `answers` holds: values used up one by one, the last
    again and again. Keeps the requests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, list[Any]] = {"GET /v1/cluster/auth": [{"auth": False}]}
        self.requests: list[Request] = []

    def on(self, route: str, *answers: Any) -> None:
        self.answers[route] = list(answers)

    @staticmethod
    def failure(status: int, detail: str) -> Failure:
        return Failure(status, detail)

    @staticmethod
    def stream(*events: Any, hold: bool = False) -> Stream:
        return Stream(list(events), hold)

    def take(self, route: str) -> Any:
        answers = self.answers.get(route, [Failure(404, f"no route {route}")])
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def bodies(self, route: str) -> list[Any]:
        return [request.body for request in self.requests if request.route == route]


@pytest.fixture
def server() -> Iterator[FakeServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            url = urlsplit(self.path)
            route = f"{self.command} {url.path}"
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            body = json.loads(content) if content else None
            fake.requests.append(
                Request(route, dict(parse_qsl(url.query)), body, self.headers["Authorization"])
            )
            answer = fake.take(route)
            if isinstance(answer, Stream):
                self.send_stream(answer)
            elif isinstance(answer, Failure):
                self.send_json(answer.status, {"detail": answer.detail})
            else:
                self.send_json(200, answer)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def send_json(self, status: int, value: Any) -> None:
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def send_stream(self, stream: Stream) -> None:
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for event in stream.events:
                self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
            if stream.hold:
                assert self.rfile.read(1) == b""
                stream.left.set()
            else:
                self.wfile.write(b"data: [DONE]\n\n")

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake = FakeServer(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def xinference(server: FakeServer) -> Callable[..., Result]:
    """Run the command in this process, against the server."""

    def run(*arguments: str, stdin: str | None = None) -> Result:
        environment = {"XINFERENCE_ENDPOINT": server.url, "XINFERENCE_API_KEY": None}
        return CliRunner(env=environment).invoke(main, arguments, input=stdin)

    return run


@pytest.fixture
def xinference_process(server: FakeServer) -> Callable[..., Any]:
    """Run the command in a process of its own, against the server."""

    @contextmanager
    def start(*arguments: str) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            [sys.executable, "-c", _CHILD, *arguments, "--endpoint", server.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    return start
