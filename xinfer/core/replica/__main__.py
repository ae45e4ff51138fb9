"""`python -m xinfer.core.replica`: one replica; its configuration is the first line of stdin."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import msgspec
import uvloop

from xinfer.core import logs
from xinfer.core.replica.process import ReplicaProcess
from xinfer.core.watchdog import watched
from xinfer.settings import Settings
from xinfer.types.cluster import ReplicaConfig


def main() -> None:
    settings = Settings.from_env()
    logs.configure(settings, logs.REPLICA)
    config = msgspec.json.decode(_first_line(), type=ReplicaConfig)

    async def run() -> NoReturn:
        with watched(settings.blocked_loop_threshold):
            status = await ReplicaProcess(config, settings).run()
        sys.stdout.flush()
        sys.stderr.flush()
        # Closing the loop would wait for a thread that still loads. Nothing else is left.
        os._exit(status)

    uvloop.run(run())


def _first_line() -> bytes:
    """Read byte by byte, so that nothing after the line is taken from stdin."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(sys.stdin.fileno(), 1)
        if not byte:
            break
        line += byte
    return bytes(line)


if __name__ == "__main__":
    main()
