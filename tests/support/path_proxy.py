"""A reverse proxy that serves a server below a path, as nginx with `location /below/this/` does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive"})


@contextmanager
def below(prefix: str, target: str) -> Iterator[str]:
    """The address at which `target` is served below `prefix`, which begins with a slash."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            """Nothing: a test says what is wrong."""

        def do_GET(self) -> None:
            self._forward()

        def do_POST(self) -> None:
            self._forward()

        def _forward(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404, f"not below {prefix}")
                return
            length = int(self.headers.get("Content-Length", 0))
            with client.stream(
                self.command,
                self.path.removeprefix(prefix),
                content=self.rfile.read(length),
                headers={"Content-Type": self.headers.get("Content-Type", "")},
            ) as answer:
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name not in _HOP_BY_HOP:
                        self.send_header(name, value)
                self.end_headers()
                try:
                    for part in answer.iter_raw():
                        self.wfile.write(part)
                except ConnectionError:
                    pass  # the browser has left

    client = httpx.Client(base_url=target, timeout=60.0, trust_env=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="proxy")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{prefix}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        client.close()
