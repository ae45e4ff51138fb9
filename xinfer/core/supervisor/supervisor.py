"""The supervisor: its parts, put together."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from xinfer.core.supervisor.changes import describe_changes
from xinfer.core.supervisor.control import ControlServer
from xinfer.core.supervisor.declarations import Declarations
from xinfer.core.supervisor.events import EventLog
from xinfer.core.supervisor.inquiries import Inquiries
from xinfer.core.supervisor.members import Members
from xinfer.core.supervisor.planner import PlanPolicy
from xinfer.core.supervisor.reconciler import Reconciler
from xinfer.core.supervisor.registrations import Registrations
from xinfer.core.supervisor.service import DeploymentService
from xinfer.core.supervisor.silence import LossPolicy
from xinfer.core.supervisor.state import ClusterState
from xinfer.core.supervisor.store import Store
from xinfer.core.supervisor.workers import WorkerPort
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.engines import engines_of
from xinfer.model.catalog.host import Host
from xinfer.model.catalog.remote import RemoteModels
from xinfer.model.catalog.resolve import Resolved, resolve
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.settings import Settings
from xinfer.types.cluster import ReportReply, WorkerReport
from xinfer.types.deployment import LaunchSpec, Snapshot

logger = logging.getLogger("xinfer.supervisor")

_SETTLE_INTERVALS = 1.5


class Supervisor:
    """One supervisor process's state and services. Make it on the event loop.

    `await restore()` before anybody can reach it, then `await run()` for as long as it shall act;
    `control` and the store are opened and closed by the caller.

    Args:
        link_token: for the links to replicas; the same after a restart, so that those that run
            on are still reached.
        restarted: workers and API processes of an earlier supervisor may go on. So nothing is
            started, and nothing told, before the workers had the time to report what runs.
        owns_workers: no worker has outlived an earlier supervisor that was stopped in order; else,
            from the first report on, the others have the same time.
        declared: the launches of a file of declarations; None without one.
    """

    def __init__(
        self,
        settings: Settings,
        workers: WorkerPort,
        store: Store,
        *,
        link_token: bytes,
        restarted: bool = False,
        owns_workers: bool = True,
        declared: Sequence[LaunchSpec] | None = None,
        resolve: Callable[[LaunchSpec, Surroundings], Resolved] = resolve,
        monotonic: Callable[[], float] = time.monotonic,
        unix_now: Callable[[], float] = time.time,
    ) -> None:
        self.state = ClusterState(
            policy=PlanPolicy.of(settings, epoch=str(store.epoch)),
            link_token=link_token,
            started=unix_now(),
            loss=LossPolicy.of(settings),
        )
        catalogue = Catalogue()
        self.registrations = Registrations(catalogue, store, settings.home_path)
        hubs = RemoteModels(settings)

        def around(host: Host) -> Surroundings:
            return Surroundings(
                catalogue, hubs, host, settings.trust_remote_code, settings.allow_pickle
            )

        self._settings = settings
        self._restarted = restarted
        self._deserted = asyncio.Event()
        self._monotonic = monotonic
        self._reconciler = Reconciler(
            self.state,
            workers,
            settings,
            publish=self._publish,
            # Workers that found nobody try again at least this often.
            settle=_SETTLE_INTERVALS * settings.heartbeat_interval
            if restarted or not owns_workers
            else 0.0,
            restarted=restarted,
            monotonic=monotonic,
            unix_now=unix_now,
        )
        self.service = DeploymentService(
            self.state,
            store,
            workers,
            settings,
            resolve=lambda spec, host: resolve(spec, around(host)),
            registered=catalogue.custom,
            changed=self._reconciler.wake,
            monotonic=monotonic,
            unix_now=unix_now,
        )
        self.declarations = Declarations(
            self.state, store, self.service, declared, monotonic=monotonic, unix_now=unix_now
        )
        self.members = Members(self.state, workers, monotonic)
        self.events = EventLog(logger, unix_now)
        self._workers_known: set[str] = set()
        """Addresses of the workers that were there and have not said that they leave."""
        self._known = self.state.snapshot()
        self.control = ControlServer(
            self.service,
            self.declarations,
            self.members,
            self.registrations,
            self.events,
            Inquiries(
                self.state,
                workers,
                lambda spec, host: engines_of(spec, around(host)),
                monotonic,
                registered=catalogue.custom,
            ),
            settings,
        )

    async def restore(self) -> None:
        """Know the models that were registered; want what the store holds, as far as declarations
        do not say otherwise."""
        await self.registrations.restore()
        await self.service.restore()
        await self.declarations.begin(restarted=self._restarted, restore=self._settings.restore)
        restored = list(self.state.desired)
        if restored:
            logger.info(
                "Launched before and still wanted: %s. To end one for good: "
                "xinference terminate --model-uid UID",
                ", ".join(sorted(restored)),
            )

    async def run(self) -> None:
        """Act until cancelled."""
        tasks = {
            asyncio.create_task(self._reconciler.run(), name="plan"),
            asyncio.create_task(self.declarations.run(), name="declarations"),
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def drain(self, *, dismiss: bool = False) -> None:
        """Say that the server is stopping and tell every replica to drain, while `run` runs; then
        wait until every worker has said good-bye, or is lost.

        Args:
            dismiss: tell the workers to leave; else their launcher does.
        """
        await self._reconciler.drain()
        if dismiss:
            await self.members.dismiss()
        patience = self._settings.drain_timeout + self._settings.stop_timeout
        goodbyes = asyncio.create_task(self._deserted.wait())
        await asyncio.wait({goodbyes}, timeout=patience)
        goodbyes.cancel()

    async def report(self, report: WorkerReport) -> ReportReply:
        """A worker's report has come."""
        if not self.state.draining:
            await self.service.adopt(report)
        known = report.worker_id in self.state.workers
        joins = not known and not report.leaving
        leaves = known and report.leaving and not self.state.workers.is_leaving(report.worker_id)
        now = self._monotonic()
        news = self.state.workers.is_news(report, now)
        forget = self.state.apply(report, now)
        if joins:
            text = f"Worker {report.address} has been added successfully"
            self.events.add(logging.INFO, text, worker=report.address)
            self._workers_known.add(report.address)
        elif leaves:
            text = f"Worker {report.address} is leaving"
            self.events.add(logging.INFO, text, worker=report.address)
            self._workers_known.discard(report.address)
        if news:
            self._reconciler.wake()
        return ReportReply(link_token=self.state.link_token, forget=forget)

    def _publish(self, snapshot: Snapshot) -> None:
        for address in sorted(self._workers_known - self.state.workers.addresses()):
            self._workers_known.discard(address)
            self.events.keep(logging.WARNING, f"Worker {address} is lost", worker=address)
        if snapshot.workers:
            self._deserted.clear()
        else:
            self._deserted.set()
        if not self.state.draining:  # that everything leaves then is no news
            for change in describe_changes(self._known, snapshot):
                self.events.add(change.level, change.text, model=change.model)
        self._known = snapshot
        self.control.publish(snapshot)
