"""The set of replica processes of one worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

from xinfer.core.worker.downloads import Downloads
from xinfer.core.worker.environments import Environments
from xinfer.core.worker.guard import Guard
from xinfer.core.worker.installer import Installer
from xinfer.core.worker.links import LinkPlace
from xinfer.core.worker.logs import LogBook
from xinfer.core.worker.process import COMMAND, ReplicaProcess
from xinfer.errors import Unavailable
from xinfer.settings import Settings
from xinfer.types.cluster import Assignment, ReplicaReport

logger = logging.getLogger(__name__)


class Replicas:
    """Starts and stops replicas, and tells what there is of them.

    Args:
        links: where their links listen.
        on_change: called on the event loop whenever `reports` has changed.
        command: program and arguments that start a replica.
        downloads: has the files of models here.
    """

    def __init__(
        self,
        settings: Settings,
        links: LinkPlace,
        on_change: Callable[[], None],
        command: Sequence[str] = COMMAND,
        downloads: Downloads | None = None,
    ) -> None:
        self._settings = settings
        self._links = links
        self._on_change = on_change
        self._command = command
        self._downloads = downloads or Downloads(settings)
        self._guard = Guard()
        self.environments = Environments(settings, Installer(settings, self._guard))
        self._logs = LogBook(settings.log_lines)
        self._processes: dict[str, ReplicaProcess] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._closed = False
        self.link_token: bytes | None = None
        """For the links of replicas started from now on; None until the supervisor has told it."""

    def reports(self) -> tuple[ReplicaReport, ...]:
        """Every replica that runs or whose end has not been forgotten yet."""
        return tuple(process.report for process in self._processes.values())

    def start(self, assignment: Assignment) -> None:
        """Begin to run an assignment; nothing happens when it is known already.

        Raises:
            Unavailable: the worker has not joined yet, or is shutting down.
        """
        if self._closed:
            raise Unavailable("This worker is shutting down.", code="draining")
        if self.link_token is None:
            raise Unavailable("This worker has not joined the supervisor yet.", code="joining")
        replica_id = assignment.replica_id
        if replica_id in self._processes:
            return
        logger.info("Starting replica %s on engine %s", replica_id, assignment.deployment.engine)
        process = self._processes[replica_id] = ReplicaProcess(
            assignment,
            settings=self._settings,
            links=self._links,
            link_token=self.link_token,
            downloads=self._downloads,
            guard=self._guard,
            environments=self.environments,
            log=self._logs.open(replica_id),
            on_change=self._on_change,
            command=self._command,
        )
        task = self._tasks[replica_id] = asyncio.create_task(process.run(), name=replica_id)
        # Not at the end of the task itself: one that is cancelled at once never begins.
        task.add_done_callback(lambda _: self._ended(replica_id))
        self._on_change()

    def stop(self, replica_id: str, drain: float) -> None:
        """Have a replica leave; nothing happens when it has ended or is not known."""
        process = self._processes.get(replica_id)
        if process is not None:
            process.stop(drain)

    def set_queue(self, replica_id: str, max_queue: int, request_limit: int | None = None) -> None:
        """Change a replica's waiting places and limit; nothing happens when it has ended or is not
        known."""
        process = self._processes.get(replica_id)
        if process is not None:
            process.set_queue(max_queue, request_limit)

    def paths_in_use(self) -> list[str]:
        """Of the models of replicas that have not ended."""
        return [each.model.path for each in self._processes.values() if not each.ended]

    def forget(self, replica_ids: Iterable[str]) -> None:
        """Drop the reports of replicas that have ended."""
        for replica_id in replica_ids:
            process = self._processes.get(replica_id)
            if process is not None and process.ended:
                del self._processes[replica_id]

    def log(self, replica_id: str, lines: int) -> list[str]:
        """The last lines of a replica's output, also for some time after its end."""
        return self._logs.tail(replica_id, lines)

    def close_door(self) -> None:
        """Take no new ones from now on."""
        self._closed = True

    def stop_all(self, drain: float) -> None:
        """Have every replica leave, and take no new ones."""
        self.close_door()
        for process in self._processes.values():
            process.stop(drain)

    async def ended(self) -> None:
        """Wait until none runs."""
        while self._tasks:
            await asyncio.wait(self._tasks.values())

    async def close(self) -> None:
        """Kill what still runs and end the guard."""
        self.stop_all(0.0)
        for task in self._tasks.values():
            task.cancel()
        await self.ended()
        await self._guard.close()

    def _ended(self, replica_id: str) -> None:
        self._logs.end(replica_id)
        del self._tasks[replica_id]
