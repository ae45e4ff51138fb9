"""Models' files onto this node, before their replicas start: each download a process of its own.

A process, because a transfer takes memory, threads and processor time that the worker's event loop
is better off without, and because it can be ended at any time: what has come is continued later.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence

import msgspec

from xinfer import system
from xinfer.core.worker.spawn import replica_environment
from xinfer.errors import EngineFailed
from xinfer.model.hub.cache import cached_model
from xinfer.model.hub.messages import Message, Request
from xinfer.settings import Settings
from xinfer.types.model import FileProgress, ModelSpec

COMMAND = (sys.executable, "-m", "xinfer.model.hub")

SHARE = 0.8
"""Of a launch's progress, the part that is the download."""

_MAX_MESSAGE = 4 << 20  # bytes of one line

Tell = Callable[[tuple[FileProgress, ...]], None]

_read_message = msgspec.json.Decoder(Message).decode


class Downloads:
    """One download for all replicas that want the same files.

    Args:
        command: program and arguments that download.
    """

    def __init__(self, settings: Settings, command: Sequence[str] = COMMAND) -> None:
        self._settings = settings
        self._command = command
        self._running: dict[bytes, _Download] = {}

    async def obtain(self, model: ModelSpec, tell: Tell) -> ModelSpec:
        """The model with the path of its files here. Asks no hub when they are cached.

        When nobody waits for a download any more, it is ended.

        Args:
            tell: called on the event loop with how the download goes.

        Raises:
            XinferError: what `xinfer.model.hub.fetch` raises, or its process died.
        """
        cached = await asyncio.to_thread(cached_model, model, self._settings)
        if cached is not None:
            return cached
        key = msgspec.msgpack.encode((model.format, model.sources))
        download = self._running.get(key)
        if download is None:
            download = self._running[key] = _Download(model, self._settings, self._command)
            download.task.add_done_callback(lambda _: self._forget(key, download))
        download.listeners.append(tell)
        try:
            await asyncio.wait({download.task})
            found = download.task.result()
        finally:
            download.listeners.remove(tell)
            if not download.listeners and not download.task.done():
                self._forget(key, download)
                download.task.cancel()
                await asyncio.wait({download.task})
        return msgspec.structs.replace(
            model,
            path=found.path,
            hub=found.hub,
            model_id=found.model_id,
            revision=found.revision,
        )

    def _forget(self, key: bytes, download: _Download) -> None:
        if self._running.get(key) is download:
            del self._running[key]


class _Download:
    """One process that downloads, and those who want to know how it goes."""

    def __init__(self, model: ModelSpec, settings: Settings, command: Sequence[str]) -> None:
        self._model = model
        # What it has no use for, it is not told.
        self._settings = dataclasses.replace(settings, cluster_token="", api_key="")
        self._command = command
        self.listeners: list[Tell] = []
        self.task = asyncio.create_task(self._run(), name=f"download of {model.name}")

    async def _run(self) -> ModelSpec:
        process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_MAX_MESSAGE,
            env=replica_environment(os.environ, ()),
            **system.own_session(),
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            request = Request(model=self._model, settings=dataclasses.asdict(self._settings))
            process.stdin.write(msgspec.json.encode(request) + b"\n")
            while line := await process.stdout.readline():
                message = _read_message(line)
                if message.failure is not None:
                    raise message.failure.error()
                if message.model is not None:
                    return message.model
                for tell in list(self.listeners):
                    tell(message.files or ())
            words = system.describe_exit(await process.wait())
            raise EngineFailed(
                f"The process that downloads {self._model.name} {words}. What has come is kept."
            )
        finally:
            process.stdin.close()  # it leaves when this ends
            if process.returncode is None:
                process.kill()
            await process.wait()


def downloaded_fraction(files: Sequence[FileProgress]) -> float:
    """How much of all bytes is here, 0 to 1."""
    total = sum(file.total_bytes for file in files)
    return sum(file.downloaded_bytes for file in files) / total if total else 0.0
