"""The worker's hold on its guard, the process that kills replica groups when the worker dies."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

from xinfer import system

logger = logging.getLogger(__name__)

_PROGRAM = Path(__file__).with_name("guard_main.py")
_RESTART_DELAY = 1.0


class Guard:
    """Keeps one guard process that knows every live group; started with the first of them.

    Without process groups (Windows) there is none: a replica then leaves by itself when its stdin
    ends.
    """

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The guard's process, while one runs."""
        return self._process.pid if self._process else None

    def add(self, pid: int) -> None:
        """Have this group killed if the worker dies."""
        self._groups.add(pid)
        if os.name == "nt":
            return
        if self._watch is None:
            self._watch = asyncio.create_task(self._keep_alive(), name="guard")
        self._tell(f"+{pid}\n")

    def remove(self, pid: int) -> None:
        """The group has ended."""
        self._groups.discard(pid)
        self._tell(f"-{pid}\n")

    async def close(self) -> None:
        """End the guard; groups still listed are killed."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()

    async def _keep_alive(self) -> None:
        while True:
            try:
                process = self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-ISE",
                    str(_PROGRAM),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.DEVNULL,
                    **system.own_session(),
                )
            except OSError as error:
                logger.error("The guard of replica processes cannot be started: %s.", error)
            else:
                self._tell("".join(f"+{group}\n" for group in self._groups))
                status = await process.wait()
                self._process = None
                logger.warning("The guard of replica processes %s.", system.describe_exit(status))
            await asyncio.sleep(_RESTART_DELAY)

    def _tell(self, line: str) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            # A few bytes into an empty pipe; when the guard has died, its successor is told all.
            self._process.stdin.write(line.encode())
