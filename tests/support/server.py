"""A real server for tests: `xinference-local` with a home and a port of its own."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.program import START_WITHIN, Program, running
from tests.support.waiting import eventually


class Server(Program):
    """A running server, and an HTTP client for it."""

    def __init__(self, url: str, process: subprocess.Popen[bytes], log_path: Path) -> None:
        super().__init__(process, log_path)
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=60.0, trust_env=False)

    @classmethod
    @contextmanager
    def of(cls, program: Program) -> Iterator[Server]:
        """The server that `program` is, once it is whole."""
        line = program.until_logged("Endpoint: ")
        url = line.rpartition("Endpoint: ")[2].partition('"')[0].strip()  # also in a line of JSON
        server = cls(url, program.process, program._log_path)
        try:
            server.until_logged("The page is at", START_WITHIN)
            yield server
        finally:
            server.http.close()

    def launch(self, model: str = "echo", **body: Any) -> str:
        """Launch and wait until READY; the uid."""
        # A process that imports PyTorch may take minutes for it on a busy machine.
        launch = {"model_name": model, **body}
        answer = self.http.post("/v1/models", json=launch, timeout=300.0)
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
    with (
        running("local", *flags, home=home, files=files, **environment) as program,
        Server.of(program) as server,
    ):
        yield server
    if own_home:
        shutil.rmtree(home)  # kept, with the log, when a test has failed
