"""The launcher: parent of a server's processes. It starts them, watches them, starts them again,
and stops them in order. Stdlib only, so that it stays small.

A child reads one line of JSON from its stdin (its configuration, secrets included), prints
`ready {...}` on its stdout once it serves, `stop` to have the whole server stopped, and leaves on
SIGTERM or when its stdin ends.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from xinfer import system
from xinfer.core.exits import REFUSES_TO_START
from xinfer.settings import Settings

logger = logging.getLogger("xinfer.launcher")

_FAILURES_AT_START = 3
"""Starts of a process that was never ready after which the launcher gives up; one that says itself
that another is of no use is not started again."""

_MAX_DOUBLINGS = 30
"""Of the wait between restarts, so that it stays a number however long a process fails."""

_STABLE_AFTER = 60.0
"""Seconds after which a process that stayed up counts as healthy again."""


@dataclass
class Child:
    """One process to keep running. `after` names those that must be ready before it first starts;
    later each comes back by itself."""

    name: str
    module: str
    configure: Callable[[], dict[str, Any]]
    """Called at each start, for what is only known then."""
    after: tuple[str, ...] = ()
    pass_fds: tuple[int, ...] = ()
    stop_rank: int = 0
    """Children of a lower rank are stopped, and have left, before those of a higher one."""
    environment: dict[str, str] = field(default_factory=dict)

    process: subprocess.Popen[bytes] | None = None
    ready: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    """What it said when it last became ready; kept while it is started again."""
    configured: bool = False
    failures: int = 0
    started_at: float = 0.0
    start_at: float = 0.0
    output: bytes = b""


class Launcher:
    """Runs `children` until a signal asks it to stop, or one of them cannot be started."""

    def __init__(
        self,
        children: list[Child],
        settings: Settings,
        on_all_ready: Callable[[], None],
    ) -> None:
        self._children = {child.name: child for child in children}
        self._settings = settings
        self._on_all_ready = on_all_ready
        self._announced = False
        self._stopping = False
        self._selector = selectors.DefaultSelector()
        self._signals = 0
        self._wakeup, wakeup_write = os.pipe()
        for fd in (self._wakeup, wakeup_write):
            os.set_blocking(fd, False)
        self._wakeup_write = wakeup_write

    def run(self) -> int:
        """The exit status: 0 after an orderly stop, 1 when a process could not be started."""
        system.become_subreaper()
        for number in system.stop_signals():
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup_write, warn_on_full_buffer=False)
        self._selector.register(self._wakeup, selectors.EVENT_READ, None)
        try:
            while not self._signals:
                self._start_due()
                self._wait(self._until_next_start())
                if self._beyond_hope():
                    self._stop_all()
                    return 1
            logger.info(
                "Stopping: running requests have %.0f s to finish", self._settings.drain_timeout
            )
            self._stop_all()
            return 0
        finally:
            self._kill_left()

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signals += 1

    def _patience(self) -> float:
        """For one rank: its drain, then its own children's leaving, then its own."""
        return self._settings.drain_timeout + 2 * self._settings.stop_timeout

    def _start_due(self) -> None:
        """Start what should run; import early, configure when what comes before is ready."""
        now = time.monotonic()
        for child in self._children.values():
            if child.process is None and now >= child.start_at:
                self._spawn(child)
            if child.process is not None and not child.configured and self._may_begin(child):
                self._configure(child)

    def _may_begin(self, child: Child) -> bool:
        return self._announced or all(self._children[name].ready for name in child.after)

    def _until_next_start(self) -> float | None:
        waiting = [c.start_at for c in self._children.values() if c.process is None]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def _spawn(self, child: Child) -> None:
        child.started_at = time.monotonic()
        child.ready, child.configured, child.output = False, False, b""
        try:
            child.process = subprocess.Popen(
                [sys.executable, "-m", child.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=child.pass_fds,
                env={**os.environ, **child.environment},
                **system.own_session(),
            )
        except OSError as error:  # no memory or no process left, for now
            self._failed(child, f"cannot be started ({error.strerror})")
            return
        assert child.process.stdout is not None
        os.set_blocking(child.process.stdout.fileno(), False)
        self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _configure(self, child: Child) -> None:
        assert child.process is not None
        assert child.process.stdin is not None
        child.configured = True
        with contextlib.suppress(BrokenPipeError):  # its end is noticed by itself
            child.process.stdin.write(json.dumps(child.configure()).encode() + b"\n")
            child.process.stdin.flush()

    def _wait(self, timeout: float | None) -> None:
        """Wait for something to happen, and take note of it."""
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wakeup, 4096)
            else:
                self._read(key.data)
        self._reap()

    def _read(self, child: Child) -> bool:
        """Take what it has printed; whether there may be more."""
        assert child.process is not None
        assert child.process.stdout is not None
        try:
            data = os.read(child.process.stdout.fileno(), 65536)
        except BlockingIOError:
            return False
        if not data:
            with contextlib.suppress(KeyError):
                self._selector.unregister(child.process.stdout)
            return False
        child.output += data
        *lines, child.output = child.output.split(b"\n")
        for line in lines:
            if line.startswith(b"ready {"):
                child.facts = json.loads(line.removeprefix(b"ready "))
                child.ready = True
            elif line == b"stop":
                self._signals = max(1, self._signals)
            else:
                sys.stderr.buffer.write(line + b"\n")
                sys.stderr.flush()
        if not self._announced and all(c.ready for c in self._children.values()):
            self._announced = True
            self._on_all_ready()
        return True

    def _reap(self) -> None:
        """Take note of children that ended, and wait for orphans that became ours."""
        ours = {c.process.pid: c for c in self._children.values() if c.process is not None}
        while (pid := system.next_ended_child()) is not None:
            child = ours.get(pid)
            if child is None:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)
            else:
                self._ended(child)

    def _ended(self, child: Child) -> None:
        assert child.process is not None
        status = child.process.wait()
        while self._read(child):  # its last words, which may have come since the last look
            pass
        self._close_pipes(child)
        child.process, child.configured = None, False
        if status == REFUSES_TO_START:
            child.failures = max(child.failures, _FAILURES_AT_START - 1)  # with this one, enough
        self._failed(child, system.describe_exit(status))

    def _failed(self, child: Child, what: str) -> None:
        """Plan its next start, later with each failure."""
        now = time.monotonic()
        if child.ready and now - child.started_at > _STABLE_AFTER:
            child.failures = 0
        child.failures += 1
        delay = min(
            self._settings.restart_backoff * 2.0 ** min(child.failures - 1, _MAX_DOUBLINGS),
            self._settings.restart_backoff_max,
        )
        if child.ready and child.failures == 1:
            delay = 0.0  # it worked before: the first restart need not wait
        child.start_at = now + delay
        child.ready = False
        if self._stopping or self._signals:
            return
        if self._beyond_hope():
            logger.critical(
                "The %s process %s and cannot be started; its reason is in the lines above",
                child.name,
                what,
            )
        else:
            wait = f" in {delay:.1f} s" if delay else ""
            logger.error("The %s process %s; starting it again%s", child.name, what, wait)

    def _beyond_hope(self) -> bool:
        return not self._announced and any(
            child.failures >= _FAILURES_AT_START for child in self._children.values()
        )

    def _close_pipes(self, child: Child) -> None:
        assert child.process is not None
        for pipe in (child.process.stdin, child.process.stdout):
            assert pipe is not None
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(pipe)
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _stop_all(self) -> None:
        """Ask each rank to leave, in order; a second signal, or no patience left, ends it."""
        self._stopping = True
        for rank in sorted({child.stop_rank for child in self._children.values()}):
            group = [c for c in self._children.values() if c.stop_rank == rank]
            for child in group:
                if child.process is not None:
                    child.process.terminate()
            deadline = time.monotonic() + self._patience()
            while any(child.process is not None for child in group):
                left = deadline - time.monotonic()
                if left <= 0 or self._signals > 1:
                    logger.warning("Not waiting any longer: ending what is left")
                    return
                self._wait(left)

    def _kill_left(self) -> None:
        for child in self._children.values():
            if child.process is not None:
                system.kill_group(child.process.pid)
                child.process.wait()
                self._close_pipes(child)
        self._selector.close()
        signal.set_wakeup_fd(-1)
        os.close(self._wakeup)
        os.close(self._wakeup_write)
