"""The control link's server: answers operations and pushes snapshots to API processes."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec

from xinfer.core.link import Link, LinkServer, serve
from xinfer.core.supervisor.declarations import Declarations
from xinfer.core.supervisor.events import EventLog
from xinfer.core.supervisor.inquiries import Inquiries
from xinfer.core.supervisor.members import Members
from xinfer.core.supervisor.registrations import Registrations
from xinfer.core.supervisor.service import DeploymentService
from xinfer.errors import InvalidRequest, XinferError
from xinfer.settings import Settings
from xinfer.types.control import (
    AddReplicas,
    AwaitSeen,
    CancelLaunch,
    Declare,
    DrainWorker,
    DropEnvironments,
    Launch,
    Operation,
    Preview,
    Push,
    ReadCache,
    ReadDeclarations,
    ReadEngines,
    ReadEnvironments,
    ReadEvents,
    ReadLogs,
    ReadNodes,
    ReadRegistrations,
    Register,
    RemoveCached,
    RemoveReplica,
    Reply,
    Scale,
    Seen,
    StopCluster,
    Terminate,
    ToSupervisor,
    Undeclare,
    Unregister,
)
from xinfer.types.deployment import Snapshot
from xinfer.types.failure import Failure

logger = logging.getLogger(__name__)

PUSH_INTERVAL = 0.05  # seconds between two snapshots, so that a burst of changes makes few
SEEN_WITHIN = 1.0  # seconds for which an API process that takes no snapshot is waited for

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(ToSupervisor).decode


class _Numbered(msgspec.Struct, tag="call"):
    call: int


_decode_number = msgspec.msgpack.Decoder(_Numbered).decode


class ControlServer:
    """Serves API processes. It is the handler of all its links.

    An operation that was begun is seen through, although its link may end meanwhile.
    Until a first snapshot is published, API processes route by what they know from an earlier
    supervisor.
    """

    def __init__(
        self,
        service: DeploymentService,
        declarations: Declarations,
        members: Members,
        registrations: Registrations,
        events: EventLog,
        inquiries: Inquiries,
        settings: Settings,
    ) -> None:
        self._service = service
        self._declarations = declarations
        self._members = members
        self._registrations = registrations
        self._events = events
        self._inquiries = inquiries
        self._settings = settings
        self._snapshot: Snapshot | None = None
        self._pushed: Snapshot | None = None
        self._seen: dict[Link, int] = {}
        """The version of the snapshot that each API process has told it knows."""
        self._seen_changed: asyncio.Future[None] | None = None
        self._operations: set[asyncio.Task[None]] = set()
        self._server: LinkServer | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next_push = 0.0

    async def open(self, address: str, token: bytes) -> None:
        """Listen; raises what `xinfer.core.link.serve` raises."""
        self._server = await serve(address, token, self._accept, self._settings)

    async def close(self) -> None:
        """Push what is new, end the links and the operations."""
        if self._timer is not None:
            self._timer.cancel()
            self._push()
        for task in list(self._operations):
            task.cancel()
        await asyncio.gather(*self._operations, return_exceptions=True)
        if self._server is not None:
            await self._server.close()

    def publish(self, snapshot: Snapshot) -> None:
        """Push it to every API process, if it is new: now, or with what comes shortly after."""
        self._snapshot = snapshot
        is_known = self._pushed is not None and snapshot.version == self._pushed.version
        if self._timer is not None or is_known:
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(max(loop.time(), self._next_push), self._push)

    def on_frame(self, link: Link, payload: bytes) -> None:
        try:
            message = _decode(payload)
        except msgspec.DecodeError as error:
            self._refuse(link, payload, error)
            return
        if isinstance(message, Seen):
            self._seen[link] = message.version
            self._wake_awaiters()
            return
        task = asyncio.create_task(self._answer(link, message.call, message.operation))
        self._operations.add(task)
        task.add_done_callback(self._operations.discard)

    def on_lost(self, link: Link, reason: str) -> None:
        del self._seen[link]
        self._wake_awaiters()
        logger.debug("A control link ended: %s", reason)

    def _accept(self, link: Link) -> ControlServer:
        self._seen[link] = 0
        if self._snapshot is not None:
            link.send(_encode(Push(self._snapshot)))
        return self

    def _refuse(self, link: Link, payload: bytes, error: msgspec.DecodeError) -> None:
        """Answer what is not understood; a peer that does not even number it is sent away."""
        try:
            call = _decode_number(payload).call
        except msgspec.DecodeError:
            link.abort(f"a message that is no control call: {error}")
            return
        wrong = InvalidRequest(f"The operation is not understood: {error}.")
        link.send(_encode(Reply(call, failure=Failure.of(wrong))))

    def _push(self) -> None:
        self._timer = None
        assert self._snapshot is not None
        self._next_push = asyncio.get_running_loop().time() + PUSH_INTERVAL
        self._pushed = self._snapshot
        payload = _encode(Push(self._snapshot))
        for link in [each for each in self._seen if not each.closed]:
            link.send(payload)

    async def _answer(self, link: Link, call: int, operation: Operation) -> None:
        try:
            reply = Reply(call, result=msgspec.to_builtins(await self._run(operation)))
        except XinferError as error:
            reply = Reply(call, failure=Failure.of(error))
        except Exception as error:
            logger.exception("The operation %s failed", type(operation).__name__)
            reply = Reply(call, failure=Failure.of(error))
        if not link.closed:
            link.send(_encode(reply))

    async def _run(self, operation: Operation) -> Any:
        if isinstance(operation, Launch):
            return await self._service.launch(operation.spec, exist_ok=operation.exist_ok)
        if isinstance(operation, Preview):
            return await self._service.preview(operation.spec)
        if isinstance(operation, ReadEngines):
            return await self._inquiries.engines(operation.spec)
        if isinstance(operation, ReadEnvironments):
            return await self._members.environments(
                operation.model_name, operation.engine, operation.worker
            )
        if isinstance(operation, DropEnvironments):
            return await self._members.remove_environments(operation.request, operation.worker)
        if isinstance(operation, Terminate):
            return await self._service.terminate(operation.uid)
        if isinstance(operation, Scale):
            return await self._service.scale(
                operation.uid, operation.replicas, operation.max_queue, operation.request_limits
            )
        if isinstance(operation, AddReplicas):
            return await self._service.add_replicas(
                operation.uid, operation.count, operation.places
            )
        if isinstance(operation, RemoveReplica):
            return await self._service.remove_replica(operation.uid, operation.ordinal)
        if isinstance(operation, CancelLaunch):
            return await self._service.cancel(operation.uid)
        if isinstance(operation, ReadLogs):
            return await self._service.logs(operation.uid, operation.lines)
        if isinstance(operation, ReadEvents):
            return self._events.read(operation.model)
        if isinstance(operation, AwaitSeen):
            return await self._await_seen(operation.version)
        if isinstance(operation, ReadDeclarations):
            return self._declarations.read()
        if isinstance(operation, Declare):
            return await self._declarations.declare(operation.declaration)
        if isinstance(operation, Undeclare):
            return await self._declarations.undeclare(operation.uid)
        if isinstance(operation, ReadNodes):
            return self._members.nodes()
        if isinstance(operation, ReadCache):
            return await self._members.cached(operation.worker)
        if isinstance(operation, RemoveCached):
            return await self._members.remove_cached(operation.version, operation.worker)
        if isinstance(operation, DrainWorker):
            return await self._members.drain(operation.address)
        if isinstance(operation, Register):
            return await self._registrations.register(
                operation.kind, operation.text, persist=operation.persist
            )
        if isinstance(operation, Unregister):
            return await self._registrations.unregister(operation.kind, operation.name)
        if isinstance(operation, ReadRegistrations):
            return self._registrations.list()
        assert isinstance(operation, StopCluster)
        return self._members.stop()

    async def _await_seen(self, version: int | None) -> int:
        if version is None:
            version = self._service.version()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SEEN_WITHIN
        while any(seen < version for seen in self._seen.values()):
            left = deadline - loop.time()
            if left <= 0:
                break
            if self._seen_changed is None:
                self._seen_changed = loop.create_future()
            await asyncio.wait({self._seen_changed}, timeout=left)
        return version

    def _wake_awaiters(self) -> None:
        changed, self._seen_changed = self._seen_changed, None
        if changed is not None:
            changed.set_result(None)
