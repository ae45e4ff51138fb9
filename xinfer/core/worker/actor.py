"""The worker's actor: what the supervisor may ask of it. All arguments and results are msgpack."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from xinfer.core.actors import xo
from xinfer.core.launch_question import EngineAnswers, ResolveLaunch
from xinfer.core.worker.model_cache import ModelCache
from xinfer.core.worker.replicas import Replicas
from xinfer.model.catalog.resolve import Resolved
from xinfer.types.cluster import (
    Assignment,
    ReadReplicaLog,
    RemoveCached,
    RemoveEnvironments,
    SetQueue,
    StopReplica,
    VirtualEnvironment,
)

_encode = msgspec.msgpack.Encoder().encode
_decode_assignment = msgspec.msgpack.Decoder(Assignment).decode
_decode_queue = msgspec.msgpack.Decoder(SetQueue).decode
_decode_stop = msgspec.msgpack.Decoder(StopReplica).decode
_decode_remove = msgspec.msgpack.Decoder(RemoveCached).decode
_decode_environments = msgspec.msgpack.Decoder(RemoveEnvironments).decode
_decode_launch = msgspec.msgpack.Decoder(ResolveLaunch).decode
_decode_read = msgspec.msgpack.Decoder(ReadReplicaLog).decode


class WorkerActor(xo.StatelessActor):  # type: ignore[misc]
    """A thin door to `Replicas` and `ModelCache`.

    Args:
        leave: called when the supervisor wants the worker gone.
        resolve: model, engine and options of a launch, by what is on this machine; blocks.
        engines_of: by engine, what this machine runs of a model, or why not; blocks.
    """

    def __init__(
        self,
        replicas: Replicas,
        cache: ModelCache,
        leave: Callable[[], None],
        resolve: Callable[[ResolveLaunch], Resolved],
        engines_of: Callable[[ResolveLaunch], EngineAnswers],
    ) -> None:
        super().__init__()
        self._replicas = replicas
        self._cache = cache
        self._leave = leave
        self._resolve = resolve
        self._engines_of = engines_of

    async def start(self, payload: bytes) -> bytes:
        """Begin to run an `Assignment`; answers at once, reports tell how it goes.

        Raises:
            Unavailable: the worker has not joined yet, or is shutting down.
        """
        self._replicas.start(_decode_assignment(payload))
        return b""

    async def stop(self, payload: bytes) -> bytes:
        """End a replica as `StopReplica` says; answers at once, reports tell when it has ended."""
        request = _decode_stop(payload)
        self._replicas.stop(request.replica_id, request.drain)
        return b""

    async def set_queue(self, payload: bytes) -> bytes:
        """Pass on what `SetQueue` says; answers at once, the next report shows it."""
        request = _decode_queue(payload)
        self._replicas.set_queue(request.replica_id, request.max_queue, request.request_limit)
        return b""

    async def leave(self, payload: bytes) -> bytes:
        """Take no more assignments, and leave once no replica is left; the supervisor ends them
        when each has a successor."""
        self._leave()
        return b""

    async def environments(self, payload: bytes) -> bytes:
        """The virtual environments there are, as a list of `VirtualEnvironment`."""
        found = await asyncio.to_thread(self._replicas.environments.entries)
        return _encode(
            [
                VirtualEnvironment(
                    path=str(path),
                    packages=one.packages,
                    python_version=one.python_version,
                    models=one.models,
                    engines=one.engines,
                )
                for path, one in found
            ]
        )

    async def remove_environments(self, payload: bytes) -> bytes:
        """Remove what `RemoveEnvironments` says; whether there was one.

        Raises:
            Conflict: a replica runs in one.
        """
        request = _decode_environments(payload)
        return _encode(
            await asyncio.to_thread(
                self._replicas.environments.remove,
                request.model_name,
                request.engine,
                request.python_version,
            )
        )

    async def resolve(self, payload: bytes) -> bytes:
        """What a `ResolveLaunch` comes to on this machine, as a `Resolved`.

        Raises:
            NotFound, InvalidRequest: it cannot be run here.
        """
        return _encode(await asyncio.to_thread(self._resolve, _decode_launch(payload)))

    async def engines(self, payload: bytes) -> bytes:
        """What engines run here of a `ResolveLaunch`'s model, as `EngineAnswers`.

        Raises:
            NotFound, InvalidRequest: there is no such model here.
        """
        return _encode(await asyncio.to_thread(self._engines_of, _decode_launch(payload)))

    async def logs(self, payload: bytes) -> bytes:
        """The lines that `ReadReplicaLog` asks for, as a list of strings."""
        request = _decode_read(payload)
        return _encode(self._replicas.log(request.replica_id, request.lines))

    async def cached(self, payload: bytes) -> bytes:
        """The models that have been downloaded to this node, as a list of `CachedModel`."""
        return _encode(await asyncio.to_thread(self._cache.list))

    async def remove_cached(self, payload: bytes) -> bytes:
        """Take off the disk what `RemoveCached` says; how many entries went.

        Raises:
            Conflict: it runs, or is being downloaded.
        """
        return _encode(await asyncio.to_thread(self._cache.remove, _decode_remove(payload).version))
