"""Stands in for what lies below the API: a gateway with scripted answers, a control plane that
remembers what it was asked, and a client that speaks ASGI itself where httpx hides too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import httpx
import msgspec
from fastapi import FastAPI

from xinfer.api.app import create_app
from xinfer.api.fetch import Fetcher
from xinfer.api.lifetime import Drain
from xinfer.core.gateway import Completion, Encoding, RoutingTable, Work
from xinfer.core.gateway.siblings import Siblings
from xinfer.core.gateway.working import K
from xinfer.errors import XinferError
from xinfer.settings import Settings
from xinfer.types.control import AwaitSeen, Launch, Node, Operation, ReadNodes, ReadRegistrations
from xinfer.types.deployment import (
    Deployment,
    DeploymentState,
    DeploymentStatus,
    LaunchSpec,
    ReplicaStatus,
    Snapshot,
)
from xinfer.types.event import (
    Delta,
    Finished,
    LogprobDelta,
    MessageDelta,
    TokenLogprob,
    ToolCall,
    Usage,
)
from xinfer.types.failure import Failure
from xinfer.types.link import Inspected, Load
from xinfer.types.model import Abilities, EncodeAbilities, EngineStats, Loaded, ModelSpec, Progress
from xinfer.types.product import Product
from xinfer.types.request import EncodeRequest, Request

Batch = list[Delta | Finished]
Script = list[Batch | XinferError | asyncio.Event]

USAGE = Usage(prompt_tokens=5, completion_tokens=2, cached_tokens=1)


def answer(*texts: str, reason: str = "stop", usage: Usage = USAGE) -> Script:
    """A script that gives these texts, a batch each, and ends."""
    return [*([Delta(1, text, [])] for text in texts), [Finished(1, reason, usage)]]


def deployment(
    uid: str = "echo",
    *,
    state: DeploymentState = DeploymentState.READY,
    replicas: int = 1,
    generation: int = 1,
    failure: XinferError | None = None,
    encode: EncodeAbilities | None = None,
    media: bool = False,
    audio: bool = False,
    logprobs: bool = True,
    tasks: frozenset[str] = frozenset(),
    details: dict[str, Any] | None = None,
    aliases: tuple[str, ...] = (),
    max_queue: int = 100,
    request_limits: int | None = None,
    **model: Any,
) -> DeploymentStatus:
    """A deployment whose replicas are all in its own state."""
    spec: dict[str, Any] = {
        "name": uid,
        "family": "echo",
        "context_length": 4096,
        "abilities": ("generate", "chat"),
        "description": "Repeats its prompt.",
    }
    loaded = Loaded(
        context_length=2048,
        concurrency=4,
        abilities=Abilities(
            encode=encode, media=media, audio=audio, logprobs=logprobs, tasks=tasks
        ),
        details=details or {},
    )
    ready = state is DeploymentState.READY
    return DeploymentStatus(
        deployment=Deployment(
            uid=uid,
            generation=generation,
            created=1_700_000_000,
            spec=LaunchSpec(model_name=uid, aliases=aliases),
            model=ModelSpec(**{**spec, **model}),
            engine="echo",
            options={},
            replicas=replicas,
            max_queue=max_queue,
            request_limits=request_limits,
        ),
        state=state,
        replicas=tuple(
            ReplicaStatus(
                replica_id=f"{uid}-{ordinal}-abc",
                ordinal=ordinal,
                state=state,
                worker="127.0.0.1:4000",
                pid=4321 + ordinal,
                address=f"unix:/run/{uid}-{ordinal}",
                restarts=ordinal,
                created=1_700_000_001,
                progress=Progress(1.0 if ready else 0.25, "loading"),
                loaded=loaded if ready else None,
            )
            for ordinal in range(replicas)
        ),
        failure=Failure.of(failure) if failure else None,
        loaded=loaded if ready or state is DeploymentState.RESTARTING else None,
    )


def snapshot(*deployments: DeploymentStatus, version: int = 1, draining: bool = False) -> Snapshot:
    return Snapshot(
        epoch="e",
        version=version,
        deployments={one.deployment.uid: one for one in deployments},
        link_token=b"t" * 32,
        started=1_700_000_000.0,
        draining=draining,
        workers=1,
    )


class FakeStream:
    """Plays a script: a batch is given, an error raised, an event waited for."""

    prompt_tokens = USAGE.prompt_tokens
    waited = 0.25

    def __init__(self, script: Script, siblings: Siblings | None = None) -> None:
        self._script = iter(script)
        self._siblings = siblings
        self.left = False

    async def __aenter__(self) -> FakeStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.left = True

    def __aiter__(self) -> FakeStream:
        return self

    async def __anext__(self) -> Batch:
        for step in self._script:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, XinferError):
                raise step
            else:
                if self._siblings is not None:
                    self._siblings.computed.set()
                return step
        raise StopAsyncIteration


class FakePlace:
    """What a request will play that has a place."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.left = False

    def cancel(self) -> None:
        self.left = True


class Made(NamedTuple):
    """What a model makes of a request."""

    products: list[Product]
    usage: Usage
    waited: float = 0.0


class FakeGateway:
    """Answers each request by the next script; an error as script refuses it."""

    def __init__(self, table: RoutingTable) -> None:
        self.table = table
        self.scripts: list[Script | XinferError] = []
        self.admission: asyncio.Event | None = None
        self.encodings: list[Encoding | XinferError] = []
        self.works: list[Made | XinferError] = []
        self.progresses: dict[str, float] = {}
        self.requests: list[Request] = []
        self.request_ids: list[str] = []
        self.streams: list[FakeStream] = []
        self.places: list[FakePlace] = []
        self.waiting = asyncio.Event()
        self.opened = asyncio.Event()
        self.given_up = 0
        self.aborts: list[tuple[str, str]] = []
        self.abort_finds = True

    async def reserve(
        self, uid: str, request: Request, *, request_id: str, siblings: Siblings, held: bool
    ) -> FakePlace:
        self.places.append(FakePlace(await self._admit(uid, request, request_id)))
        return self.places[-1]

    async def open(
        self,
        uid: str,
        request: Request,
        *,
        request_id: str,
        siblings: Siblings | None = None,
        reserved: FakePlace | None = None,
    ) -> FakeStream:
        script = reserved.script if reserved else await self._admit(uid, request, request_id)
        stream = FakeStream(script, siblings)
        self.streams.append(stream)
        self.opened.set()
        return stream

    async def _admit(self, uid: str, request: Request, request_id: str) -> Script:
        self.table.require_ready(uid)
        self.requests.append(request)
        self.request_ids.append(request_id)
        if self.admission is not None:
            self.waiting.set()
            try:
                await self.admission.wait()
            except asyncio.CancelledError:
                self.given_up += 1
                raise
        script = self.scripts.pop(0) if self.scripts else answer("Hello", " there")
        if isinstance(script, XinferError):
            raise script
        return script

    async def complete(
        self,
        uid: str,
        request: Request,
        *,
        request_id: str,
        siblings: Siblings | None = None,
        reserved: FakePlace | None = None,
    ) -> Completion:
        text = ""
        logprobs: tuple[TokenLogprob, ...] = ()
        reasoning = ""
        calls: tuple[ToolCall, ...] = ()
        async with await self.open(
            uid, request, request_id=request_id, siblings=siblings, reserved=reserved
        ) as stream:
            async for batch in stream:
                for event in batch:
                    if isinstance(event, Finished):
                        return Completion(
                            text,
                            event.reason,
                            event.usage,
                            logprobs,
                            0.25,
                            reasoning,
                            calls,
                            event.stop,
                        )
                    text += event.text
                    if isinstance(event, LogprobDelta):
                        logprobs += event.logprobs
                    if isinstance(event, MessageDelta):
                        reasoning += event.reasoning
                        calls += event.calls
        raise AssertionError("the script has no end")

    async def encode(self, uid: str, request: EncodeRequest, *, request_id: str) -> Encoding:
        """The next of `encodings`; an error among them is raised."""
        self.table.require_ready(uid)
        self.requests.append(request)
        self.request_ids.append(request_id)
        if self.admission is not None:
            self.waiting.set()
            try:
                await self.admission.wait()
            except asyncio.CancelledError:
                self.given_up += 1
                raise
        encoding = self.encodings.pop(0)
        if isinstance(encoding, XinferError):
            raise encoding
        return encoding

    async def work(self, uid: str, request: Request, *, request_id: str) -> FakeStream:
        """Plays the next of `scripts`, of products and their end."""
        return await self.open(uid, request, request_id=request_id)

    async def work_whole(
        self, uid: str, request: Request, make_keeper: Callable[[], K], *, request_id: str
    ) -> Work[K]:
        """The next of `works`; an error among them is raised."""
        self.table.require_ready(uid)
        self.requests.append(request)
        self.request_ids.append(request_id)
        if self.admission is not None:
            self.waiting.set()
            try:
                await self.admission.wait()
            except asyncio.CancelledError:
                self.given_up += 1
                raise
        made = self.works.pop(0)
        if isinstance(made, XinferError):
            raise made
        keeper = make_keeper()
        for product in made.products:
            await keeper.keep(product)
        return Work(keeper, made.usage, made.waited)

    async def progress(self, request_id: str) -> float | None:
        return self.progresses.get(request_id)

    async def spell(self, uid: str, ids: Sequence[int]) -> list[str]:
        self.table.require_ready(uid)
        return [f"token {token}" for token in ids]

    async def count_tokens(self, uid: str, request: Request) -> int:
        return len(await self.tokenize(uid, request))

    async def tokenize(self, uid: str, request: Request, *, bare: bool = False) -> list[int]:
        self.table.require_ready(uid)
        self.requests.append(request)
        return [2, 3, 4, 5] if bare else [1, 2, 3, 4, 5]

    async def detokenize(self, uid: str, ids: Sequence[int]) -> str:
        self.table.require_ready(uid)
        return " ".join(map(str, ids))

    async def inspect(self, uid: str) -> dict[str, Inspected]:
        return {
            replica.replica_id: Inspected(0, Load(1, 2, 20), EngineStats())
            for replica in self.table.ready_replicas(uid)
        }

    async def abort(self, uid: str, request_id: str) -> bool:
        self.table.status(uid)
        self.aborts.append((uid, request_id))
        return self.abort_finds


class FakeControl:
    """Answers by `handlers`, by the operation's type; a launch appears in the table."""

    def __init__(self, table: RoutingTable) -> None:
        self.table = table
        self.operations: list[Operation] = []
        self.nodes: list[Node] = []
        self.called = asyncio.Event()
        self.handlers: dict[type, Callable[[Any], Any]] = {
            Launch: self._launch,
            ReadNodes: lambda _: self.nodes,
            AwaitSeen: self._await_seen,
            ReadRegistrations: lambda _: [],
        }

    async def call(self, operation: Operation) -> Any:
        self.operations.append(operation)
        self.called.set()
        handler = self.handlers.get(type(operation))
        return msgspec.to_builtins(handler(operation)) if handler else None

    def _launch(self, operation: Launch) -> str:
        uid = operation.spec.model_uid or operation.spec.model_name
        self.show(deployment(uid, replicas=operation.spec.replica))
        return uid

    def _await_seen(self, operation: AwaitSeen) -> int:
        """What was done is in the next snapshot."""
        if operation.version is not None:
            return operation.version
        return self.table.snapshot.version + 1 if self.table.snapshot else 1

    def show(self, *statuses: DeploymentStatus) -> None:
        """Push a snapshot in which these have changed."""
        before = self.table.snapshot
        known = dict(before.deployments) if before else {}
        known.update({status.deployment.uid: status for status in statuses})
        self.table.update(snapshot(*known.values(), version=(before.version if before else 0) + 1))

    def drop(self, uid: str) -> None:
        """Push a snapshot without this deployment."""
        before = self.table.snapshot
        assert before is not None
        left = [one for name, one in before.deployments.items() if name != uid]
        self.table.update(snapshot(*left, version=before.version + 1))


class Api:
    """An application on fakes, with `echo` running."""

    def __init__(
        self,
        *deployments: DeploymentStatus,
        supervisor: str = "",
        fetcher: Fetcher | None = None,
        **settings: Any,
    ) -> None:
        self.table = RoutingTable()
        self.table.connected = True
        self.table.update(snapshot(*(deployments or (deployment(),))))
        self.gateway = FakeGateway(self.table)
        self.control = FakeControl(self.table)
        self.drain = Drain()
        self.app: FastAPI = create_app(
            self.gateway,  # type: ignore[arg-type]
            self.control,  # type: ignore[arg-type]
            Settings(**settings),
            drain=self.drain,
            supervisor=supervisor,
            fetcher=fetcher,
        )
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app, raise_app_exceptions=False),
            base_url="http://api",
        )

    async def chat(self, **body: Any) -> httpx.Response:
        """A chat request; `messages` and `model` have defaults."""
        whole = {"model": "echo", "messages": [{"role": "user", "content": "Hi"}], **body}
        return await self.http.post("/v1/chat/completions", json=whole)

    async def complete(self, **body: Any) -> httpx.Response:
        return await self.http.post(
            "/v1/completions", json={"model": "echo", "prompt": "Hi", **body}
        )


class Exchange:
    """One request spoken in ASGI: `hang_up` leaves, `sent` is what came so far."""

    def __init__(self, app: FastAPI, path: str, body: Any, method: str = "POST") -> None:
        raw = msgspec.json.encode(body)
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"content-type", b"application/json")],
            "client": ("127.0.0.1", 1),
            "server": ("api", 80),
        }
        self._incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._incoming.put_nowait({"type": "http.request", "body": raw, "more_body": False})
        self.sent: list[dict[str, Any]] = []
        self.something = asyncio.Event()
        self._app = app

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """The application at work on it."""
        task = asyncio.create_task(self._app(self._scope, self._incoming.get, self._send))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait((task,))

    async def _send(self, message: Any) -> None:
        self.sent.append(message)
        self.something.set()

    def hang_up(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})

    async def receives(self, part: bytes) -> None:
        """Wait until the body has this part."""
        while part not in self.body:
            self.something.clear()
            await asyncio.wait_for(self.something.wait(), 10)

    @property
    def status(self) -> int | None:
        return next((m["status"] for m in self.sent if m["type"] == "http.response.start"), None)

    @property
    def body(self) -> bytes:
        return b"".join(m.get("body", b"") for m in self.sent)
