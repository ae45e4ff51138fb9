"""`python -m xinfer.core.worker`: one node's worker, a child of the launcher."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from xinfer.core import logs
from xinfer.core.actors import create_pool, xo
from xinfer.core.child import Leave, announce_ready, read_config
from xinfer.core.watchdog import watched
from xinfer.core.worker.actor import WorkerActor
from xinfer.core.worker.replicas import Replicas
from xinfer.core.worker.reporter import Reporter
from xinfer.settings import Settings
from xinfer.types.cluster import WORKER_ACTOR, ReportReply

logger = logging.getLogger("xinfer.worker")


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the launcher tells a worker."""

    supervisor: str
    """The supervisor's actor address."""
    cluster_token: str
    """In hexadecimal."""
    host: str
    port: int
    run_dir: str
    """Where the sockets of replicas go."""


async def serve(config: WorkerConfig, settings: Settings) -> None:
    """Join the supervisor and run what it assigns, until asked to leave."""
    leave = Leave()
    token = bytes.fromhex(config.cluster_token)
    pool = await create_pool(config.host, config.port, token, settings)
    replicas = Replicas(settings, Path(config.run_dir), lambda: reporter.changed())

    def take(reply: ReportReply) -> None:
        replicas.link_token = reply.link_token
        replicas.forget(reply.forget)

    reporter = Reporter(config.supervisor, pool.external_address, replicas.reports, take, settings)
    await xo.create_actor(WorkerActor, replicas, uid=WORKER_ACTOR, address=pool.external_address)
    reporting = asyncio.create_task(reporter.run(), name="reporter")
    try:
        await _first(reporting, reporter.joined.wait(), leave.asked.wait())
        if reporter.joined.is_set():
            logger.info("Xinference worker successfully started.")
            announce_ready(address=pool.external_address)
        await _first(reporting, leave.asked.wait())
        replicas.stop_all(0.0 if leave.orphaned.is_set() else settings.drain_timeout)
        await _first(reporting, replicas.ended(), leave.orphaned.wait())
        replicas.stop_all(0.0)
        await _first(reporting, replicas.ended())
    finally:
        reporting.cancel()
        await asyncio.wait({reporting})
        await replicas.close()
        await reporter.leave(settings.handshake_timeout)
        await pool.stop()


async def _first(reporting: asyncio.Task[None], *waits: Coroutine[Any, Any, Any]) -> None:
    """Wait for any of `waits`; raises what ends the reporting, which by itself never ends."""
    tasks = {asyncio.ensure_future(wait) for wait in waits}
    try:
        await asyncio.wait({reporting, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        if reporting.done():
            reporting.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


def main() -> None:
    settings = Settings.from_env()
    logs.configure(settings, "worker")
    config = read_config(WorkerConfig)

    async def run() -> None:
        with watched(settings.blocked_loop_threshold):
            await serve(config, settings)

    uvloop.run(run())


if __name__ == "__main__":
    main()
