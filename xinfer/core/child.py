"""A child of the launcher: its configuration, its word that it serves, and its end.

The launcher writes one line of JSON to the child's stdin and keeps it open. The child prints
`ready {...}` on stdout once it serves, and `stop` to have the whole server stopped. It leaves in
order on SIGTERM, and at once when stdin ends, for then the launcher has died.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TypeVar

import msgspec

T = TypeVar("T")


def read_config(kind: type[T]) -> T:
    """Wait for the line of configuration; for before the event loop.

    Raises:
        SystemExit: stdin ended first, or the line is not a configuration of this kind.
    """
    line = sys.stdin.buffer.readline()
    if not line:
        raise SystemExit("The configuration is expected as a line of JSON on stdin; stdin ended.")
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        raise SystemExit(f"The configuration on stdin is not understood: {error}.") from None


def announce_ready(**facts: str) -> None:
    """Tell the launcher that this process serves."""
    print("ready", json.dumps(facts), flush=True)


def ask_to_stop() -> None:
    """Have the launcher stop the whole server, this process too."""
    print("stop", flush=True)


class Leave:
    """When to leave. Make it on the event loop; stdin has to be a pipe."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        """Set by SIGTERM, or by the end of stdin."""
        self.orphaned = asyncio.Event()
        """Set by the end of stdin: nobody waits for us any more."""
        self._loop = asyncio.get_running_loop()
        self._stdin = sys.stdin.fileno()
        self._loop.add_signal_handler(signal.SIGTERM, self.asked.set)
        self._loop.add_reader(self._stdin, self._read)

    def _read(self) -> None:
        if not os.read(self._stdin, 4096):
            self._loop.remove_reader(self._stdin)
            self.orphaned.set()
            self.asked.set()
