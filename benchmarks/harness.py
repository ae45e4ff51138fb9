"""The processes of a benchmark: a server, the yardstick, and the client that loads them.

Every wait is bounded, and one that is not met fails with what the process wrote.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any
from urllib.parse import urlsplit

import msgspec
import psutil

from benchmarks.plan import Generations, Outcome, Requests, Streams

_START_WITHIN = 60.0
_STOP_WITHIN = 60.0
_ANSWER_WITHIN = 300.0
_LOAD_WITHIN = 300.0


class CannotMeasure(Exception):
    """A benchmark could not be taken; the message has the reason."""


class Log:
    """Lines that a process writes, read as they come."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._lines: list[str] = []
        self._ended = False
        self._changed = threading.Condition()
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def _read(self, pipe: IO[bytes]) -> None:
        with pipe:
            for line in pipe:
                with self._changed:
                    self._lines.append(line.decode(errors="replace").rstrip())
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_for(self, words: str) -> str:
        """The rest of the first line that has `words`.

        Raises:
            CannotMeasure: the process ended, or no such line came in time.
        """

        def found() -> str | None:
            return next((line for line in self._lines if words in line), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None or self._ended, _START_WITHIN)
            line = found()
            if line is None:
                how = "ended without" if self._ended else f"in {_START_WITHIN:.0f} s did not reach"
                lines = "\n".join(self._lines[-40:])
                raise CannotMeasure(f"The process {how} the line {words!r}:\n{lines}")
            return line.partition(words)[2].strip()


class Server:
    """A running `xinference-local`."""

    def __init__(self, host: str, port: int, pid: int, log: Log, seconds_to_answer: float) -> None:
        self.host = host
        self.port = port
        self.seconds_to_answer = seconds_to_answer
        """From the command to the first answer of /v1/models."""
        self._pid = pid
        self._log = log

    def launch_echo(self, **options: Any) -> str:
        """Launch the echo engine and wait until it is ready; its uid."""
        return self.launch("echo", "echo", **options)

    def launch(self, model: str, engine: str, **options: Any) -> str:
        """Launch a model by its name or path and wait until it is ready; its uid."""
        body = {"model_name": model, "model_engine": engine, **options}
        return str(call(self.host, self.port, "POST", "/v1/models", body)["model_uid"])

    def wait_until_whole(self) -> None:
        """Return when every process of it is ready."""
        self._log.wait_for("The page is at")

    def processes(self) -> dict[str, psutil.Process]:
        """All of its processes, by the last part of their module's name."""
        launcher = psutil.Process(self._pid)
        found = {"launcher": launcher}
        for child in launcher.children(recursive=True):
            command = child.cmdline()
            role = command[command.index("-m") + 1] if "-m" in command else child.name()
            role = role.rpartition(".")[2]
            found[role if role not in found else f"{role} {child.pid}"] = child
        return found


def call(
    host: str,
    port: int,
    method: str,
    path: str,
    body: Any = None,
    *,
    within: float = _ANSWER_WITHIN,
) -> Any:
    """One JSON request, its answer parsed; `within` so many seconds.

    Raises:
        CannotMeasure: the answer is not 200, or none came in time.
    """
    connection = http.client.HTTPConnection(host, port, timeout=within)
    try:
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
    except OSError as error:
        raise CannotMeasure(f"{method} {path} had no answer: {error}") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise CannotMeasure(f"{method} {path} answered {answer.status}: {content[:2000]!r}")
    return json.loads(content)


@contextmanager
def running_server(*arguments: str) -> Iterator[Server]:
    """A server with a home of its own and every setting at its default; ended on leaving."""
    with tempfile.TemporaryDirectory(prefix="xinfer-bench-") as home:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("XINFERENCE_")}
        began = time.perf_counter()
        command = [sys.executable, "-m", "xinfer.deploy.local", "-p", "0", *arguments]
        with running_process(command, {**environment, "XINFERENCE_HOME": home}) as (process, log):
            url = urlsplit(log.wait_for("Endpoint: "))
            assert url.hostname is not None
            assert url.port is not None
            call(url.hostname, url.port, "GET", "/v1/models")
            answered = time.perf_counter() - began
            yield Server(url.hostname, url.port, process.pid, log, answered)


@contextmanager
def running_yardstick(token_interval: float = 0.0) -> Iterator[tuple[int, int]]:
    """The raw application of `benchmarks.raw`; its port and pid."""
    command = [sys.executable, "-m", "benchmarks.raw", str(token_interval)]
    with running_process(command, dict(os.environ)) as (process, log):
        yield int(log.wait_for("listening on port ")), process.pid


@contextmanager
def running_process(
    command: list[str], environment: dict[str, str], folder: str | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], Log]]:
    """A process until the end of the block, when it is asked to leave.

    Args:
        folder: where it runs; here by default.
    """
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    assert process.stdout is not None
    log = Log(process.stdout)
    try:
        yield process, log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise CannotMeasure(
                f"{' '.join(command)} did not stop in {_STOP_WITHIN:.0f} s"
            ) from None


def load(plan: Requests | Streams | Generations) -> Outcome:
    """Have a client process carry out the plan.

    Raises:
        CannotMeasure: the server answered wrongly or not in time.
    """
    return carried_out("benchmarks.client", plan)


def carried_out(module: str, plan: Any) -> Outcome:
    """The outcome of a module that reads its plan on stdin, run in a process of its own.

    Raises:
        CannotMeasure: it failed, or was not done in time.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-m", module],
            input=msgspec.json.encode(plan),
            capture_output=True,
            timeout=_LOAD_WITHIN,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CannotMeasure(f"{module} was not done in {_LOAD_WITHIN:.0f} s") from None
    if done.returncode != 0:
        raise CannotMeasure(done.stderr.decode(errors="replace").strip())
    return msgspec.json.decode(done.stdout, type=Outcome)
