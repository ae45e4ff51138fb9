"""The API process from its first snapshot to its last answer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import uvicorn
from starlette.types import ASGIApp

from xinfer.api.app import create_app
from xinfer.api.lifetime import Drain, cancel
from xinfer.api.protocol import bounded_protocol
from xinfer.api.stand_in import StandIn
from xinfer.api.tracing import start_tracing
from xinfer.core.child import Leave, announce_ready
from xinfer.core.gateway import Control, Gateway, RoutingTable
from xinfer.core.watchdog import LoopWatchdog
from xinfer.settings import Settings

logger = logging.getLogger("xinfer.api")

_GRACE = 2.0
"""Seconds that ended requests have to hear of it."""


class ApiConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the launcher tells an API process."""

    control: str
    """Address of the supervisor's control link."""
    control_token: str
    """In hexadecimal."""
    sockets: list[int]
    """Inherited file descriptors that listen."""
    index: int = 0
    workers: int = 1
    metrics_dir: str = ""
    """Where the API processes of a node keep their metrics together; empty for one alone."""
    supervisor: str = ""
    """Where the supervisor's actor listens, for workers that ask: host:port."""
    endpoint: str = ""
    """How users reach the server; told in the log once it answers."""


class _Server(uvicorn.Server):
    """uvicorn, started and stopped from here instead of by signals of its own."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._taking: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.up.set()

    def hand_over(self, connection: socket.socket) -> None:
        """Serve a connection that was accepted elsewhere; from any thread."""
        self._loop.call_soon_threadsafe(self._take, connection)

    def _take(self, connection: socket.socket) -> None:
        def protocol() -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state
            )

        taking = self._loop.create_task(
            self._loop.connect_accepted_socket(protocol, connection, ssl=self.config.ssl)
        )
        self._taking.add(taking)
        taking.add_done_callback(self._taking.discard)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def http_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
    """How HTTP is served: its bounds, TLS, and the proxies that are believed."""
    return uvicorn.Config(
        app,
        loop="none",
        http=bounded_protocol(settings),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        ssl_certfile=settings.ssl_certfile or None,
        ssl_keyfile=settings.ssl_keyfile or None,
        limit_concurrency=settings.http_limit_concurrency or None,
        timeout_keep_alive=max(1, round(settings.http_keep_alive)),
        timeout_graceful_shutdown=1,
    )


async def serve(
    config: ApiConfig, settings: Settings, watchdog: LoopWatchdog | None = None
) -> None:
    """Answer HTTP until asked to leave, then drain; with a watchdog, health also while the loop is
    blocked."""
    leave = Leave()
    drain = Drain()
    table = RoutingTable()
    gateway = Gateway(table, settings)
    control = Control(config.control, bytes.fromhex(config.control_token), table, settings)
    metrics_dir = config.metrics_dir or None
    tracing = start_tracing(settings)
    app = create_app(
        gateway,
        control,
        settings,
        drain=drain,
        metrics_dir=metrics_dir,
        tracing=tracing,
        supervisor=config.supervisor,
    )
    server = _Server(http_config(app, settings))
    # What exists by now stays; the collector need not look at it again.
    gc.collect()
    gc.freeze()
    leaving = asyncio.create_task(leave.asked.wait(), name="leave")
    stand_in: StandIn | None = None
    control.start()
    try:
        first = asyncio.create_task(table.wait_for(lambda snapshot: True, None), name="snapshot")
        await asyncio.wait((first, leaving), return_when=asyncio.FIRST_COMPLETED)
        await cancel(first)
        if leaving.done():
            return
        sockets = [socket.socket(fileno=number) for number in config.sockets]
        # In plain HTTP alone: a thread that shakes hands for others would hold them up.
        if watchdog is not None and config.workers == 1 and not settings.ssl_certfile:
            stand_in = StandIn(sockets, server.hand_over)
            watchdog.while_blocked = stand_in.serve
        serving = asyncio.create_task(server.serve(sockets=sockets), name="http")
        up = asyncio.create_task(server.up.wait(), name="up")
        await asyncio.wait((serving, up), return_when=asyncio.FIRST_COMPLETED)
        await cancel(up)
        if not serving.done():
            if config.endpoint and config.index == 0:
                logger.info("Xinference successfully started. Endpoint: %s", config.endpoint)
            announce_ready()
            await asyncio.wait((serving, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            await _drain(drain, leave, settings)
            server.should_exit = True
        await serving
    finally:
        await cancel(leaving)
        if stand_in is not None and watchdog is not None:
            watchdog.while_blocked = None
            stand_in.close()
        await gateway.close()
        await control.close()
        if tracing is not None:
            await tracing.close()


async def _drain(drain: Drain, leave: Leave, settings: Settings) -> None:
    """Let running requests finish, unless nobody waits for us any more."""
    timeout = 0.0 if leave.orphaned.is_set() else settings.drain_timeout
    logger.info("Leaving: %d requests have %.0f s to finish", drain.active, timeout)
    running = asyncio.create_task(drain.run(timeout, _GRACE), name="drain")
    orphaned = asyncio.create_task(leave.orphaned.wait(), name="orphaned")
    try:
        if timeout:
            await asyncio.wait((running, orphaned), return_when=asyncio.FIRST_COMPLETED)
        else:
            await running
    finally:
        await cancel(running, orphaned)
