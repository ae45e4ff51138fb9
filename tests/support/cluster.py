"""A real cluster for tests: a supervisor and workers, each with an address of this machine's own,
such as 127.0.0.2, and with times short enough for faults to be seen soon."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.program import Program, running
from tests.support.server import Server
from tests.support.waiting import eventually

QUICK = {
    "XINFERENCE_HEARTBEAT_INTERVAL": "0.25",
    "XINFERENCE_HEARTBEAT_TIMEOUT": "2",
    "XINFERENCE_LINK_PING_INTERVAL": "0.5",
    "XINFERENCE_LINK_DEADLINE": "3",
    "XINFERENCE_DRAIN_TIMEOUT": "5",
    "XINFERENCE_STOP_TIMEOUT": "5",
}


class Worker(Program):
    """A running `xinference-worker`."""

    @property
    def address(self) -> str:
        """Its actor's, once it has joined."""
        line = self.until_logged("has joined the cluster")
        return line.partition("Worker ")[2].partition(" has joined")[0]

    @property
    def replica_pids(self) -> list[int]:
        return self.pids("xinfer.core.replica")

    @property
    def worker_pid(self) -> int:
        """Of the process that starts and watches replicas."""
        (pid,) = self.pids("xinfer.core.worker")
        return pid


class Cluster:
    """A supervisor's server, and workers as they are added."""

    def __init__(self, server: Server, stack: ExitStack, environment: dict[str, str]) -> None:
        self.server = server
        self._stack = stack
        self._environment = environment

    @property
    def http(self) -> httpx.Client:
        return self.server.http

    def add_worker(
        self,
        host: str = "127.0.0.1",
        *arguments: str,
        endpoint: str = "",
        joins: bool = True,
        within: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
    ) -> Worker:
        """Start a worker and, if it `joins`, wait until it has."""
        made = {**self._environment, **(environment or {})}
        flags = ["-e", endpoint or self.server.url, "-H", host, *arguments]
        program = self._stack.enter_context(
            running("worker", *flags, home=self.server.home, within=within, **made)
        )
        worker = Worker(program.process, program._log_path)
        if joins:
            assert worker.address
        return worker

    def workers(self) -> dict[str, dict[str, Any]]:
        """What the server says of the workers, by address."""
        answer = self.http.get("/v1/workers")
        answer.raise_for_status()
        return {worker["work-ip"]: worker for worker in answer.json()}

    def ready_on(self, uid: str) -> dict[str, str]:
        """Workers' addresses by the ids of the model's ready replicas."""
        return {
            replica["replica_model_uid"]: replica["worker_address"]
            for replica in self.server.replicas(uid)
            if replica["state"] == "READY"
        }

    def until_ready_on(self, uid: str, *workers: Worker, within: float = 15.0) -> None:
        """Wait until so many replicas are ready, on these workers and no others."""
        wanted = sorted(worker.address for worker in workers)
        eventually(
            lambda: sorted(self.ready_on(uid).values()) == wanted, within, f"{uid} on {wanted}"
        )

    def until_it_takes(self, uid: str, worker: Worker) -> None:
        """Launch a model on this worker, which takes none for a while after it came back."""
        host = worker.address.rpartition(":")[0]
        body = {"model_name": "echo", "model_uid": uid, "worker_ip": host}
        eventually(
            lambda: self.http.post("/v1/models", json=body).status_code == 200,
            15,
            f"{uid} taken by {worker.address}",
        )
        self.until_ready_on(uid, worker)

    def chat(self, uid: str, text: str = "hello") -> None:
        """One request, which has to be answered."""
        body = {"model": uid, "messages": [{"role": "user", "content": text}]}
        answer = self.http.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["choices"][0]["message"]["content"] == text


@contextmanager
def running_cluster(
    *arguments: str,
    host: str = "127.0.0.1",
    port: int = 0,
    home: Path | None = None,
    within: tuple[str, ...] = (),
    **environment: str,
) -> Iterator[Cluster]:
    """Start a supervisor, and end it and all workers that were added. A `home` is left in place."""
    own_home = home is None
    home = home or Path(tempfile.mkdtemp(prefix="xinfer-test-"))
    made = {**QUICK, **environment}
    flags = ["-H", host, "-p", str(port), *arguments]
    # Workers are on top of it and end first, while there is somebody to tell it to.
    with (
        running("supervisor", *flags, home=home, within=within, **made) as program,
        Server.of(program) as server,
        ExitStack() as stack,
    ):
        yield Cluster(server, stack, made)
    if own_home:
        shutil.rmtree(home)  # kept, with the logs, when a test has failed
