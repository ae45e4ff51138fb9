"""A server command as a process of its own, with its log, and with everything it starts."""

from __future__ import annotations

import itertools
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.support.waiting import eventually

START_WITHIN = 60.0
STOP_WITHIN = 60.0


class Program:
    """A running command; `log` is what it wrote so far."""

    def __init__(self, process: subprocess.Popen[bytes], log_path: Path) -> None:
        self.process = process
        self.home = log_path.parent
        self._log_path = log_path

    @property
    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    def until_logged(self, text: str, within: float = START_WITHIN) -> str:
        """The first line with this text; fails as soon as it has ended without."""

        def find() -> str | None:
            return next((line for line in self.log.splitlines() if text in line), None)

        eventually(lambda: find() or self.process.poll() is not None, within, f"{text!r} logged")
        line = find()
        assert line is not None, f"it ended without {text!r}:\n{self.log}"
        return line

    def tree(self) -> list[psutil.Process]:
        """Its process and all below it."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def pids(self, module: str) -> list[int]:
        """Pids of its living processes that run `module`, such as xinfer.api."""
        found = []
        for child in self.tree():
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
        descendants = self.tree()[1:]
        self.process.kill()
        self.process.wait()
        _, alive = psutil.wait_procs(descendants, timeout=20)
        assert not alive, f"left behind: {alive}"


def _new_file(home: Path, command: str) -> Path:
    """A log of its own, also when several are started at once."""
    for number in itertools.count():
        path = home / f"{command}-{number}.log"
        with suppress(FileExistsError):
            path.touch(exist_ok=False)
            return path
    raise AssertionError("never reached")


@contextmanager
def running(
    command: str,
    *arguments: str,
    home: Path,
    files: int = 0,
    within: tuple[str, ...] = (),
    **environment: str,
) -> Iterator[Program]:
    """Start a command of `xinfer.deploy`, such as local; end it with everything it started.

    `files` limits the descriptors of each of its processes; `within` is a program that becomes it,
    such as nsenter.
    """

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    log_path = _new_file(home, command)
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*within, sys.executable, "-m", f"xinfer.deploy.{command}", *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "XINFERENCE_HOME": str(home), **environment},
            preexec_fn=limit_files if files else None,
        )
    program = Program(process, log_path)
    descendants: list[psutil.Process] = []
    try:
        yield program
    finally:
        if process.poll() is None:
            descendants = program.tree()[1:]
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
