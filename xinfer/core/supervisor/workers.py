"""Calls from the supervisor to workers."""

from __future__ import annotations

from typing import Protocol

import msgspec

from xinfer.core.launch_question import EngineAnswers, ResolveLaunch
from xinfer.model.catalog.resolve import Resolved
from xinfer.types.cluster import (
    WORKER_ACTOR,
    Assignment,
    CachedModel,
    ReadReplicaLog,
    RemoveCached,
    RemoveEnvironments,
    SetQueue,
    StopReplica,
    VirtualEnvironment,
)


class WorkerPort(Protocol):
    """What the supervisor asks of workers, by their actor address. Each call has a deadline.

    Every method raises `Unavailable` with the code "unreachable" when the worker cannot be
    reached or does not answer in time, and otherwise what the worker raised.
    """

    async def start(self, address: str, assignment: Assignment) -> None: ...

    async def stop(self, address: str, stop: StopReplica) -> None: ...

    async def set_queue(self, address: str, request: SetQueue) -> None: ...

    async def logs(self, address: str, request: ReadReplicaLog) -> list[str]: ...

    async def environments(self, address: str) -> list[VirtualEnvironment]: ...

    async def remove_environments(self, address: str, request: RemoveEnvironments) -> bool: ...

    async def resolve(self, address: str, question: ResolveLaunch) -> Resolved: ...

    async def engines(self, address: str, question: ResolveLaunch) -> EngineAnswers: ...

    async def leave(self, address: str) -> None: ...

    async def cached(self, address: str) -> list[CachedModel]: ...

    async def remove_cached(self, address: str, request: RemoveCached) -> int: ...


class ActorWorkers:
    """Workers by their actors.

    Args:
        timeout: seconds that one call may take.
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    async def start(self, address: str, assignment: Assignment) -> None:
        await self._call(address, "start", assignment)

    async def stop(self, address: str, stop: StopReplica) -> None:
        await self._call(address, "stop", stop)

    async def set_queue(self, address: str, request: SetQueue) -> None:
        await self._call(address, "set_queue", request)

    async def logs(self, address: str, request: ReadReplicaLog) -> list[str]:
        return msgspec.msgpack.decode(await self._call(address, "logs", request), type=list[str])

    async def environments(self, address: str) -> list[VirtualEnvironment]:
        answer = await self._call(address, "environments", None)
        return msgspec.msgpack.decode(answer, type=list[VirtualEnvironment])

    async def remove_environments(self, address: str, request: RemoveEnvironments) -> bool:
        return msgspec.msgpack.decode(
            await self._call(address, "remove_environments", request), type=bool
        )

    async def resolve(self, address: str, question: ResolveLaunch) -> Resolved:
        answer = await self._call(address, "resolve", question)
        return msgspec.msgpack.decode(answer, type=Resolved)

    async def engines(self, address: str, question: ResolveLaunch) -> EngineAnswers:
        answer = await self._call(address, "engines", question)
        return msgspec.msgpack.decode(answer, type=EngineAnswers)

    async def leave(self, address: str) -> None:
        await self._call(address, "leave", None)

    async def cached(self, address: str) -> list[CachedModel]:
        answer = await self._call(address, "cached", None)
        return msgspec.msgpack.decode(answer, type=list[CachedModel])

    async def remove_cached(self, address: str, request: RemoveCached) -> int:
        return msgspec.msgpack.decode(await self._call(address, "remove_cached", request), type=int)

    async def _call(self, address: str, method: str, argument: msgspec.Struct | None) -> bytes:
        # Only this class needs actors, which are slow to import.
        from xinfer.core.actors import RemoteActor

        actor = RemoteActor(address, WORKER_ACTOR, self._timeout)
        return await actor.call(method, msgspec.msgpack.encode(argument))
