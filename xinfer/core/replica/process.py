"""The life of a replica process: load the engine, serve links, drain, leave."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading

import msgspec

from xinfer import system
from xinfer.core.link import serve
from xinfer.core.replica.admission import Admission
from xinfer.core.replica.backend import Backend
from xinfer.core.replica.generating import TokenBackend
from xinfer.core.replica.service import Service
from xinfer.core.replica.working import WorkBackend
from xinfer.errors import EngineFailed, InvalidRequest, XinferError
from xinfer.model.catalog.entries import on_this_machine
from xinfer.model.catalog.refusal import code_refused
from xinfer.model.encode_engine import EncodeEngine
from xinfer.model.engine import (
    ConstrainingEngine,
    Engine,
    MediaEngine,
    TokenEngine,
    find_engine,
    parse_options,
)
from xinfer.model.inspect.weights import refuse_pickles
from xinfer.model.llm.pipeline import TextPipeline
from xinfer.model.work_engine import WorkEngine
from xinfer.settings import Settings
from xinfer.types.cluster import ReplicaConfig, ReplicaMessage, ReplicaReady, ReplicaUpdate
from xinfer.types.failure import Failure
from xinfer.types.model import Loaded, ModelSpec, Progress

logger = logging.getLogger(__name__)

_read_update = msgspec.json.Decoder(ReplicaUpdate).decode


class StatusPipe:
    """Lines of JSON to the worker; may be written from any thread."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, message: ReplicaMessage) -> None:
        try:
            with self._lock:
                system.write_all(self._fd, msgspec.json.encode(message) + b"\n")
        except BrokenPipeError:
            return  # the worker has gone; the end of stdin says so too

    def progress(self, progress: Progress) -> None:
        self.send(ReplicaMessage(progress=progress))


class ReplicaProcess:
    """Runs one assignment until it is asked to leave, or cannot go on."""

    def __init__(self, config: ReplicaConfig, settings: Settings) -> None:
        self._config = config
        self._settings = settings
        self._status = StatusPipe(config.status_fd)
        self._bounds = ReplicaUpdate(
            max_queue=config.assignment.max_queue, request_limit=config.assignment.request_limit
        )
        self._admission: Admission | None = None
        self._line = b""
        """The beginning of the next line from stdin."""
        self._asked_to_leave = asyncio.Event()
        self._must_leave = asyncio.Event()

    async def run(self) -> int:
        """The process's exit status: 0 when it was asked to leave, else 1."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._asked_to_leave.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C is the launcher's to handle
        loop.add_reader(sys.stdin.fileno(), self._read_stdin)
        try:
            model = on_this_machine(self._config.assignment.deployment.model)
            engine = self._make_engine(model)
            loaded = await self._load(engine)
            if loaded is None:
                return 0
            return await self._serve(*self._backend(engine, model, loaded), loaded)
        except Exception as error:
            if isinstance(error, XinferError):
                logger.error("The replica cannot go on: %s", error.message)
            else:
                logger.exception("The replica cannot go on")
            self._status.send(ReplicaMessage(failure=Failure.of(error)))
            return 1

    def _read_stdin(self) -> None:
        data = os.read(sys.stdin.fileno(), 4096)
        if not data:
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            self._must_leave.set()
            self._asked_to_leave.set()
            return
        *lines, self._line = (self._line + data).split(b"\n")
        for line in lines:
            self._bounds = _read_update(line)
            if self._admission is not None:
                self._admission.max_queue = self._bounds.max_queue
                self._admission.limit = self._bounds.request_limit

    def _make_engine(self, model: ModelSpec) -> Engine:
        deployment = self._config.assignment.deployment
        name, kind = find_engine(deployment.engine)
        support = kind.support(model)
        if not support.ok:
            raise InvalidRequest(support.reason, param="model_engine")
        # What was allowed where it was launched may not be here.
        if not self._settings.allow_pickle:
            refuse_pickles(model)
        if support.runs_code and not self._settings.trust_remote_code:
            raise code_refused(model, name)
        return kind(model, parse_options(kind, name, deployment.options))

    async def _load(self, engine: Engine) -> Loaded | None:
        """Load on a thread of its own; None when asked to leave meanwhile."""
        loading = asyncio.create_task(asyncio.to_thread(engine.load, self._status.progress))
        leaving = asyncio.create_task(self._asked_to_leave.wait())
        await asyncio.wait({loading, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        return loading.result() if loading.done() else None

    def _backend(self, engine: Engine, model: ModelSpec, loaded: Loaded) -> tuple[Backend, int]:
        """What stands around the loaded engine, and how many requests it works on at once."""
        if isinstance(engine, EncodeEngine):
            # Brings numpy, which replicas of other engines need not load.
            from xinfer.core.replica.encoding import EncodeBackend, encode_slots

            return EncodeBackend(engine, loaded), encode_slots(loaded)
        if isinstance(engine, TokenEngine):  # it has its tokenizer only once it has loaded
            takes = loaded.abilities.media or loaded.abilities.audio
            media = engine if takes and isinstance(engine, MediaEngine) else None
            constraints = engine if isinstance(engine, ConstrainingEngine) else None
            pipeline = TextPipeline(engine.tokenizer, loaded, model, media, constraints)
            return TokenBackend(engine, pipeline), loaded.concurrency
        if isinstance(engine, WorkEngine):
            return WorkBackend(engine, loaded), loaded.concurrency
        name = self._config.assignment.deployment.engine
        raise InvalidRequest(
            f"Engine {name} does nothing that is known here: it has neither tokens nor vectors "
            "nor steps of work.",
            param="model_engine",
        )

    async def _serve(self, backend: Backend, slots: int, loaded: Loaded) -> int:
        admission = Admission(
            slots,
            self._bounds.max_queue,
            self._settings.queue_timeout,
            limit=self._bounds.request_limit,
            max_bytes=self._settings.max_queue_bytes,
        )
        self._admission = admission
        service = Service(backend, admission, self._settings)
        server = await serve(
            self._config.address,
            self._config.link_token,
            service.accept,
            self._settings,
            exposed=self._config.exposed,
        )
        running = asyncio.create_task(backend.run())
        leaving = asyncio.create_task(self._asked_to_leave.wait())
        gc.collect()
        gc.freeze()
        self._status.send(ReplicaMessage(ready=ReplicaReady(address=server.address, loaded=loaded)))
        try:
            await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
                raise EngineFailed("The engine stopped by itself.")
            await service.drain(self._must_leave)
        finally:
            leaving.cancel()
            await server.close()
            backend.close()
            running.cancel()
            await asyncio.gather(running, leaving, return_exceptions=True)
            await service.close()
        return 0
