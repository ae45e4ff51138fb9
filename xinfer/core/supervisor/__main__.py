"""`python -m xinfer.core.supervisor`: a child of the launcher."""

from __future__ import annotations

import asyncio
import logging
import sys

import msgspec
import uvloop

from xinfer.core import logs
from xinfer.core.actors import create_pool, xo
from xinfer.core.child import Leave, announce_ready, ask_to_stop, read_config
from xinfer.core.exits import REFUSES_TO_START
from xinfer.core.security import derive_token
from xinfer.core.supervisor.actor import SupervisorActor
from xinfer.core.supervisor.store import CannotStart, Store, open_store
from xinfer.core.supervisor.supervisor import Supervisor
from xinfer.core.supervisor.workers import ActorWorkers
from xinfer.core.watchdog import watched
from xinfer.settings import Settings
from xinfer.types.cluster import SUPERVISOR_ACTOR
from xinfer.types.deployment import LaunchSpec

logger = logging.getLogger("xinfer.supervisor")


class SupervisorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What the launcher tells a supervisor. Tokens are in hexadecimal."""

    control: str
    """Where the control link listens: `unix:/path`."""
    control_token: str
    cluster_token: str
    host: str
    """Where the actor listens; the port 0 takes a free one."""
    port: int
    exposed: bool = False
    """Whether other machines may reach it."""
    owns_workers: bool = True
    """Whether workers end when it is stopped; else they go on, and wait for it to be started
    again."""
    restarted: bool = False
    """Whether this one takes the place of one that died; workers and API processes go on."""
    declared: list[LaunchSpec] | None = None
    """What the file of declared models holds; None without one."""


async def serve(config: SupervisorConfig, settings: Settings, store: Store) -> None:
    """Serve workers and API processes until asked to leave; closes the store."""
    try:
        with watched(settings.blocked_loop_threshold):
            await _serve(config, settings, store)
    finally:
        await store.close()


async def _serve(config: SupervisorConfig, settings: Settings, store: Store) -> None:
    leave = Leave()
    workers = ActorWorkers(settings.control_timeout)
    cluster_token = bytes.fromhex(config.cluster_token)
    supervisor = Supervisor(
        settings,
        workers,
        store,
        link_token=derive_token(cluster_token, b"replica links"),
        restarted=config.restarted,
        owns_workers=config.owns_workers,
        declared=config.declared,
    )
    await supervisor.restore()
    pool = await create_pool(
        config.host, config.port, cluster_token, settings, exposed=config.exposed
    )
    try:
        await xo.create_actor(
            SupervisorActor, supervisor.report, uid=SUPERVISOR_ACTOR, address=pool.external_address
        )
        await supervisor.control.open(config.control, bytes.fromhex(config.control_token))
        running = asyncio.create_task(supervisor.run(), name="reconciler")
        asked = asyncio.create_task(leave.asked.wait())
        stopping = asyncio.create_task(_pass_on(supervisor.members.stop_asked))
        try:
            announce_ready(address=pool.external_address)
            await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            everything = supervisor.members.stop_asked.is_set()
            if not leave.orphaned.is_set() and (config.owns_workers or everything):
                logger.info("Stopping: replicas are told to finish what they run and leave")
                await supervisor.drain(dismiss=not config.owns_workers)
        finally:
            for task in (asked, stopping, running):
                task.cancel()
            await asyncio.wait({asked, stopping, running})
            await supervisor.control.close()
    finally:
        await pool.stop()


async def _pass_on(stop_asked: asyncio.Event) -> None:
    """The launcher stops what comes before us first, and us by a signal."""
    await stop_asked.wait()
    ask_to_stop()


def main() -> None:
    settings = Settings.from_env()
    logs.configure(settings, "supervisor")
    config = read_config(SupervisorConfig)
    try:
        store = open_store(
            settings.home_path, restore=None if config.restarted else settings.restore
        )
    except CannotStart as error:
        logger.critical("%s", error)
        sys.exit(REFUSES_TO_START)
    uvloop.run(serve(config, settings, store))


if __name__ == "__main__":
    main()
