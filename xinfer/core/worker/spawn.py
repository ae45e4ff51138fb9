"""What a replica process is started with: its environment, its pipes, the sign of its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from xinfer.core.worker.devices.visible import visibility
from xinfer.types.device import DeviceShare


class Exit(asyncio.SubprocessProtocol):
    """Set when the process itself has ended, whoever still holds its pipes."""

    def __init__(self, wake: asyncio.Event) -> None:
        self._wake = wake
        self._ended = asyncio.Event()
        self.is_set = self._ended.is_set
        self.wait = self._ended.wait

    def process_exited(self) -> None:
        self._ended.set()
        self._wake.set()


class ReadPipe:
    """A pipe whose write end goes to a child."""

    def __init__(self, reader: asyncio.StreamReader, write_fd: int) -> None:
        self.reader = reader
        self.write_fd = write_fd
        self._write_open = True

    def close_write_end(self) -> None:
        """Ours, so that the reader sees the end when the child's are closed."""
        if self._write_open:
            self._write_open = False
            os.close(self.write_fd)


@asynccontextmanager
async def read_pipe(limit: int) -> AsyncIterator[ReadPipe]:
    """A pipe to read from on the event loop; reading pauses when `limit` bytes are not taken.

    Raises:
        OSError: no descriptor is left.
    """
    read_fd, write_fd = os.pipe()
    pipe = ReadPipe(asyncio.StreamReader(limit=limit), write_fd)
    try:
        connecting = asyncio.ensure_future(
            asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(pipe.reader), os.fdopen(read_fd, "rb", 0)
            )
        )
        try:
            # A turn of the loop. Were uvloop cancelled in it, the descriptor would be closed twice.
            await asyncio.shield(connecting)
            yield pipe
        finally:
            transport, _ = await connecting
            transport.close()
    finally:
        pipe.close_write_end()


def replica_environment(
    environment: Mapping[str, str], devices: Sequence[DeviceShare], own: Mapping[str, str] = {}
) -> dict[str, str]:
    """What a replica process gets of ours: no secret of the cluster, nothing of xoscar's, and of
    the accelerators those it was given. `own` are the variables of its launch."""
    kept = {
        name: value
        for name, value in environment.items()
        if name not in ("XINFERENCE_CLUSTER_TOKEN", "XINFERENCE_API_KEY")
        and not name.startswith("XOSCAR_")
    }
    # Spinning OpenMP threads would starve the other processes of the node.
    kept.setdefault("OMP_WAIT_POLICY", "passive")
    kept["PYTHONUNBUFFERED"] = "1"
    return {**kept, **own, **visibility(devices)}
