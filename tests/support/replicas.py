"""Replicas in this process: the real service on a real socket, around an engine of the test's."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from xinfer.core.link import Link, LinkServer, connect, serve
from xinfer.core.replica.admission import Admission
from xinfer.core.replica.backend import Backend
from xinfer.core.replica.encoding import EncodeBackend, encode_slots
from xinfer.core.replica.generating import TokenBackend
from xinfer.core.replica.service import Service
from xinfer.core.replica.working import WorkBackend
from xinfer.core.security import new_token
from xinfer.model.encode_engine import EncodeEngine
from xinfer.model.engine import (
    EngineOptions,
    Support,
    TokenEngine,
    TokenEvent,
    Tokenizer,
    TokenRequest,
)
from xinfer.model.llm.echo import ByteTokenizer, EchoEngine, EchoOptions
from xinfer.model.llm.pipeline import TextPipeline
from xinfer.model.work_engine import WorkEngine
from xinfer.settings import Settings
from xinfer.types.event import Event
from xinfer.types.link import (
    Abort,
    Aborted,
    FromReplica,
    Inspected,
    Spelled,
    Step,
    Submit,
    ToReplica,
)
from xinfer.types.model import Abilities, EngineStats, Loaded, ModelSpec, Progress
from xinfer.types.request import CompletionRequest, Request, Sampling

T = TypeVar("T")

SPEC = ModelSpec(name="scripted")
TOKEN = new_token()


async def soon(awaitable: Awaitable[T]) -> T:
    """Its result, which is due at once: half a minute is allowed for a busy machine."""
    return await asyncio.wait_for(awaitable, 30)


async def until(look: Callable[[], T], what: str = "it") -> T:
    """The first truthy value of `look`, looked for again and again."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 30
    while not (value := look()):
        assert loop.time() < deadline, f"{what} did not come"
        await asyncio.sleep(0.002)
    return value


def prompt(text: str = "hello", **sampling: Any) -> CompletionRequest:
    return CompletionRequest(prompt=text, sampling=Sampling(**sampling))


class ScriptedEngine:
    """Makes what the test tells it to, step by step; refuses more than it has slots for.

    Args:
        lets_go: whether an abort is obeyed at once, or only when the test says so.
        abilities: what it declares.
    """

    def __init__(
        self,
        concurrency: int = 2,
        *,
        lets_go: bool = True,
        abilities: Abilities = Abilities(),  # noqa: B008
    ) -> None:
        self._abilities = abilities
        self.tokenizer: Tokenizer = ByteTokenizer()
        self._concurrency = concurrency
        self.running: dict[int, TokenRequest] = {}
        self.submitted: list[TokenRequest] = []
        self.aborted: list[int] = []
        self.lets_go = lets_go
        self._steps: asyncio.Queue[tuple[list[TokenEvent], asyncio.Future[None]] | None] = (
            asyncio.Queue()
        )

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        return Support(True)

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return EngineOptions

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        return Loaded(
            context_length=1 << 20, concurrency=self._concurrency, abilities=self._abilities
        )

    def submit(self, request: TokenRequest) -> None:
        if len(self.running) >= self._concurrency:
            raise RuntimeError("more requests than slots")
        self.running[request.id] = request
        self.submitted.append(request)

    def abort(self, request_id: int) -> None:
        self.aborted.append(request_id)
        if self.lets_go and request_id in self.running:
            self._put([TokenEvent(request_id, [], "abort")])

    async def step(self, *events: TokenEvent) -> None:
        """Make these events in one step; returns when they have been taken."""
        await soon(self._put(list(events)))

    async def made(self, request_id: int, text: str, finish: str | None = None) -> None:
        """One step of one request."""
        await self.step(TokenEvent(request_id, list(text.encode()), finish))

    async def request(self, number: int) -> int:
        """The id of the request that is the `number`th (from 1) to be submitted."""
        await until(lambda: len(self.submitted) >= number, f"submitted request {number}")
        return self.submitted[number - 1].id

    def _put(self, events: list[TokenEvent]) -> asyncio.Future[None]:
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._steps.put_nowait((events, taken))
        return taken

    async def steps(self) -> AsyncIterator[list[TokenEvent]]:
        while (item := await self._steps.get()) is not None:
            events, taken = item
            for event in events:
                if event.finish is not None:
                    self.running.pop(event.id, None)
            yield events
            if not taken.done():
                taken.set_result(None)

    def close(self) -> None:
        self._steps.put_nowait(None)

    def stats(self) -> EngineStats:
        return EngineStats(running=len(self.running))


class Replica:
    """A served engine. `kill` ends its links at once, as the end of its process would."""

    def __init__(self, service: Service, admission: Admission, server: LinkServer) -> None:
        self.service = service
        self.admission = admission
        self.links: list[Link] = []
        self._server = server
        self.address = ""

    def kill(self) -> None:
        for link in self.links:
            link.abort("killed")

    async def stop_listening(self) -> None:
        """Nobody answers here any more, and all links have ended."""
        self.kill()
        await soon(self._server.close())


@asynccontextmanager
async def served(
    engine: TokenEngine | EncodeEngine | WorkEngine,
    *,
    max_queue: int = 4,
    limit: int | None = None,
    settings: Settings | None = None,
    token: bytes = TOKEN,
) -> AsyncIterator[Replica]:
    """A replica around `engine`."""
    settings = settings or Settings()
    loaded = engine.load(lambda _: None)
    backend: Backend
    if isinstance(engine, EncodeEngine):
        backend, slots = EncodeBackend(engine, loaded), encode_slots(loaded)
    elif isinstance(engine, WorkEngine):
        backend, slots = WorkBackend(engine, loaded), loaded.concurrency
    else:
        pipeline = TextPipeline(engine.tokenizer, loaded, SPEC)
        backend, slots = TokenBackend(engine, pipeline), loaded.concurrency
    admission = Admission(
        slots,
        max_queue,
        settings.queue_timeout,
        limit=limit,
        max_bytes=settings.max_queue_bytes,
    )
    service = Service(backend, admission, settings)

    def accept(link: Link) -> Any:
        replica.links.append(link)
        return service.accept(link)

    with tempfile.TemporaryDirectory(prefix="xinfer-test-") as directory:
        server = await serve(f"unix:{Path(directory, 'r.sock')}", token, accept, settings)
        replica = Replica(service, admission, server)
        replica.address = server.address
        steps = asyncio.create_task(backend.run())
        try:
            yield replica
        finally:
            await server.close()
            backend.close()
            await soon(steps)
            await soon(service.close())


def echo(**options: Any) -> EchoEngine:
    return EchoEngine(SPEC, EchoOptions(**options))


class Peer:
    """An API process's end of a link to a replica: what it is sent, and nothing behind it."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.answers: dict[int, Aborted | Inspected | Spelled] = {}
        self.lost: str | None = None
        self._decoder = msgspec.msgpack.Decoder(FromReplica)
        self._link: Link | None = None
        self._calls = 0

    @classmethod
    async def at(cls, address: str) -> Peer:
        """Connected to a replica."""
        peer = cls()
        peer._link = await connect(address, TOKEN, peer, Settings())
        return peer

    @classmethod
    async def of(cls, replica: Replica) -> Peer:
        return await cls.at(replica.address)

    def on_frame(self, link: Link, payload: bytes) -> None:
        message = self._decoder.decode(payload)
        if isinstance(message, Step):
            self.steps.append(message)
        else:
            self.answers[message.call] = message

    def on_lost(self, link: Link, reason: str) -> None:
        self.lost = reason

    @property
    def link(self) -> Link:
        assert self._link is not None
        return self._link

    def send(self, *messages: ToReplica) -> None:
        for message in messages:
            self.link.send(msgspec.msgpack.encode(message))

    def submit(
        self,
        rid: int,
        request: Request | None = None,
        *,
        window: int = 256,
        request_id: str = "",
    ) -> None:
        self.send(Submit(rid, request_id or f"request-{rid}", request or prompt(), window))

    def events(self, rid: int) -> list[Event]:
        return [event for step in self.steps for event in step.events if event.rid == rid]

    async def event(self, rid: int, kind: type[T]) -> T:
        """The first event of this kind of the request."""

        def look() -> list[T]:
            return [event for event in self.events(rid) if isinstance(event, kind)]

        return (await until(look, f"{kind.__name__} of request {rid}"))[0]

    async def abort(self, request_id: str) -> bool:
        self._calls += 1
        call = self._calls
        self.send(Abort(call, request_id))
        answer = await until(lambda: self.answers.get(call), "the answer to an abort")
        assert isinstance(answer, Aborted)
        return answer.found

    async def settled(self) -> None:
        """Return when the replica has acted on what was sent, and its frames are here."""
        assert not await self.abort("nobody's")
