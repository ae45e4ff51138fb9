"""`python -m xinfer.core.worker`: one node's worker, a child of the launcher."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any

import msgspec
import uvloop

from xinfer.core import logs
from xinfer.core.actors import create_pool, xo
from xinfer.core.child import Leave, announce_ready, ask_to_stop, read_config
from xinfer.core.engines import installed_engines
from xinfer.core.exits import REFUSES_TO_START
from xinfer.core.launch_question import ResolveLaunch
from xinfer.core.watchdog import watched
from xinfer.core.worker.actor import WorkerActor
from xinfer.core.worker.devices import Devices, drivers
from xinfer.core.worker.links import LinkPlace, TcpLinks, UnixLinks
from xinfer.core.worker.locate import (
    Locate,
    at_address,
    by_endpoint,
    own_address_towards,
    until_located,
)
from xinfer.core.worker.model_cache import ModelCache
from xinfer.core.worker.replicas import Replicas
from xinfer.core.worker.reporter import Reporter
from xinfer.errors import XinferError
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.engines import engines_of
from xinfer.model.catalog.remote import RemoteModels
from xinfer.model.catalog.resolve import resolve
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.settings import Settings
from xinfer.types.cluster import WORKER_ACTOR, ReportReply

logger = logging.getLogger("xinfer.worker")


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the launcher tells a worker."""

    supervisor: str = ""
    """The supervisor's actor address; empty where `endpoint` has to tell it."""
    endpoint: str = ""
    """URL of the supervisor's API."""
    cluster_token: str
    """In hexadecimal."""
    host: str
    """Where the actor listens; of 0.0.0.0 and ::, the address from which the supervisor is
    reached."""
    port: int
    exposed: bool = False
    """Whether other machines may reach it."""
    run_dir: str = ""
    """Where the sockets of replicas go; empty: their links are ports on `host`."""
    labels: dict[str, str] = {}


async def serve(config: WorkerConfig, settings: Settings) -> None:
    """Join the supervisor and run what it assigns, until asked to leave.

    Raises:
        XinferError: the supervisor refuses this worker.
    """
    leave = Leave()
    locate = at_address(config.supervisor)
    if config.endpoint:
        locate = by_endpoint(config.endpoint, settings.handshake_timeout)
    host = await _host(config, locate, leave, settings)
    if host is None:
        return
    token = bytes.fromhex(config.cluster_token)
    pool = await create_pool(host, config.port, token, settings, exposed=config.exposed)
    links: LinkPlace = TcpLinks(host, config.exposed)
    if config.run_dir:
        links = UnixLinks(config.run_dir)
    replicas = Replicas(settings, links, lambda: reporter.changed())

    def take(reply: ReportReply) -> None:
        replicas.link_token = reply.link_token
        replicas.forget(reply.forget)

    devices = Devices(drivers(os.environ), settings, lambda: reporter.changed())
    reporter = Reporter(
        locate,
        pool.external_address,
        replicas.reports,
        take,
        settings,
        measure=devices.measure,
        engines=await asyncio.to_thread(installed_engines),
        labels=config.labels,
    )
    await devices.open()
    dismissed = asyncio.Event()
    hubs = RemoteModels(settings)

    def around(question: ResolveLaunch) -> Surroundings:
        custom = () if question.registered is None else (question.registered,)
        return Surroundings(
            Catalogue(custom),
            hubs,
            question.host,
            settings.trust_remote_code,
            settings.allow_pickle,
        )

    cache = ModelCache(settings, pool.external_address, replicas.paths_in_use)
    await xo.create_actor(
        WorkerActor,
        replicas,
        cache,
        dismissed.set,
        lambda question: resolve(question.spec, around(question)),
        lambda question: engines_of(question.spec, around(question)),
        uid=WORKER_ACTOR,
        address=pool.external_address,
    )
    reporting = asyncio.create_task(reporter.run(), name="reporter")
    try:
        await _first(reporting, reporter.joined.wait(), leave.asked.wait())
        if reporter.joined.is_set():
            logger.info("Xinference worker successfully started.")
            announce_ready(address=pool.external_address)
        await _first(reporting, leave.asked.wait(), dismissed.wait())
        replicas.close_door()
        reporter.leaving()
        if not leave.asked.is_set():
            logger.info("Leaving, as the supervisor asks: models move to other workers first")
            await _first(reporting, replicas.ended(), leave.asked.wait())
            ask_to_stop()
        replicas.stop_all(0.0 if leave.orphaned.is_set() else settings.drain_timeout)
        await _first(reporting, replicas.ended(), leave.orphaned.wait())
        replicas.stop_all(0.0)
        await _first(reporting, replicas.ended())
    finally:
        reporting.cancel()
        await asyncio.wait({reporting})
        await replicas.close()
        await reporter.leave(settings.handshake_timeout)
        devices.close()
        await pool.stop()


async def _host(
    config: WorkerConfig, locate: Locate, leave: Leave, settings: Settings
) -> str | None:
    """The address by which others reach this worker; None when asked to leave before it is known.

    Raises:
        OSError: there is no way to the supervisor.
    """
    if not ipaddress.ip_address(config.host).is_unspecified:
        return config.host
    located = asyncio.create_task(until_located(locate, settings.heartbeat_interval))
    asked = asyncio.create_task(leave.asked.wait())
    try:
        await asyncio.wait({located, asked}, return_when=asyncio.FIRST_COMPLETED)
        return await own_address_towards(located.result()) if located.done() else None
    finally:
        for task in (located, asked):
            task.cancel()
        await asyncio.wait({located, asked})


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

    try:
        uvloop.run(run())
    except XinferError as error:
        logger.critical("This worker cannot join: %s", error)
        sys.exit(REFUSES_TO_START)


if __name__ == "__main__":
    main()
