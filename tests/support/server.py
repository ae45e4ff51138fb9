"""A real server for tests: `xinference-local` with a home and a port of its own."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.support.waiting import eventually

START_WITHIN = 60.0
STOP_WITHIN = 60.0


class Server:
    """A running `xinference-local`; `log` is what it wrote so far."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self.url = url
        self.process = process
        self.home = log_path.parent
        self._log_path = log_path
        self.http = httpx.Client(base_url=url, timeout=60.0, trust_env=False)

    @property
    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    def launch(self, model: str = "echo", **body: Any) -> str:
        """Launch and wait until READY; the uid."""
        answer = self.http.post("/v1/models", json={"model_name": model, **body})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["model_uid"])

    def terminate(self, uid: str) -> None:
        self.http.delete(f"/v1/models/{uid}").raise_for_status()
        eventually(lambda: not self.instances(uid), 30, f"the end of {uid}")

    def instances(self, uid: str) -> list[dict[str, Any]]:
        answer = self.http.get("/v1/models/instances", params={"model_uid": uid})
        answer.raise_for_status()
        return list(answer.json())

    def replicas(self, uid: str) -> list[dict[str, Any]]:
        answer = self.http.get(f"/v1/models/{uid}/replicas")
        answer.raise_for_status()
        return list(answer.json())

    def pids(self, module: str) -> list[int]:
        """Pids of the server's living processes that run `module`, such as xinfer.api."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile, or waits to be reaped
                if module in child.cmdline():
                    found.append(child.pid)
        return found

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to leave; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_WITHIN)

    def kill(self) -> None:
        """Kill the launcher, and wait until every process has followed it."""
        descendants = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        _, alive = psutil.wait_procs(descendants, timeout=20)
        assert not alive, f"left behind: {alive}"


def _limit_files(files: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


@contextmanager
def running_server(
    *arguments: str,
    host: str = "127.0.0.1",
    port: int | None = 0,
    files: int = 0,
    home: Path | None = None,
    **environment: str,
) -> Iterator[Server]:
    """Start a server, wait until it is whole, and end it with everything it started.

    `port` None gives no flag; `files` limits the descriptors of each of its processes. A `home` is
    one that an earlier server may have had; it is left in place.
    """
    flags = ["-H", host, *(("-p", str(port)) if port is not None else ()), *arguments]
    own_home = home is None
    home = home or Path(tempfile.mkdtemp(prefix="xinfer-test-"))
    log_path = home / f"server-{len(list(home.glob('server-*.log')))}.log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "xinfer.deploy.servers", *flags],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "XINFERENCE_HOME": str(home), **environment},
            preexec_fn=(lambda: _limit_files(files)) if files else None,
        )

    def endpoint() -> str | None:
        assert process.poll() is None, log_path.read_text(errors="replace")
        for line in log_path.read_text(errors="replace").splitlines():
            found = re.search(r'Endpoint: ([^\s"]+)', line)  # also in a line of JSON
            if found:
                return found[1]
        return None

    descendants: list[psutil.Process] = []
    try:
        url = eventually(endpoint, START_WITHIN, "the endpoint")
        assert url is not None
        server = Server(url, process, log_path)
        try:
            eventually(lambda: "The page is at" in server.log, START_WITHIN, "the whole server")
            yield server
        finally:
            server.http.close()
            if process.poll() is None:
                descendants = psutil.Process(process.pid).children(recursive=True)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_WITHIN)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        _, alive = psutil.wait_procs(descendants, timeout=10)
        for left in alive:
            left.kill()
    assert not alive, f"left behind: {alive}"
    if own_home:
        shutil.rmtree(home)  # kept, with the log, when a test has failed
