"""The loop that leads from what is observed to what is desired: plan, act, note the outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from xinfer.core.supervisor.planner import Action, Plan, Requeue, Start, Stop, plan
from xinfer.core.supervisor.state import ClusterState
from xinfer.core.supervisor.workers import WorkerPort
from xinfer.errors import Unavailable
from xinfer.settings import Settings
from xinfer.types.cluster import Assignment, SetQueue, StopReplica
from xinfer.types.deployment import Snapshot
from xinfer.types.failure import Failure

logger = logging.getLogger(__name__)

UNREACHABLE = "unreachable"
_REFUSED_WAIT = 0.25  # seconds until a worker that was joining or leaving is tried again


class Reconciler:
    """Owns the tasks that carry the plan's actions out.

    Args:
        publish: called with the snapshot after each round.
        settle: seconds for which workers of an earlier supervisor may take to report what runs.
            Until they have passed, or all that is wanted is reported, nothing is decided.
        restarted: whether API processes know what the earlier supervisor told; then they are told
            nothing for so long. Else the time runs from the first worker's report.
        monotonic: the clock of the plan.
        unix_now: the reported creation time of a replica, in seconds.
    """

    def __init__(
        self,
        state: ClusterState,
        workers: WorkerPort,
        settings: Settings,
        *,
        publish: Callable[[Snapshot], None],
        settle: float = 0.0,
        restarted: bool = False,
        monotonic: Callable[[], float],
        unix_now: Callable[[], float],
    ) -> None:
        self._state = state
        self._workers = workers
        self._settings = settings
        self._publish = publish
        self._settle = settle
        self._restarted = restarted
        self._settled_at: float | None = None
        self._monotonic = monotonic
        self._unix_now = unix_now
        self._wake = asyncio.Event()
        self._silent = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._starts: dict[str, asyncio.Task[None]] = {}

    def wake(self) -> None:
        """Something changed: plan again soon."""
        self._wake.set()

    async def run(self) -> None:
        """Reconcile until cancelled; then the actions under way are cancelled too."""
        interval = self._settings.heartbeat_interval
        try:
            rounds = self._monotonic()
            if self._restarted:
                self._settled_at = rounds + self._settle
            while True:
                self._wake.clear()
                now = self._monotonic()
                # At most one interval passes between rounds, unless the process stood still.
                if now - rounds > 2 * interval:
                    self._state.workers.pardon(now - rounds)
                rounds = now
                wake_at = self._round(now)
                ended = self._monotonic()
                await self._sleep(min(interval, max(0.0, wake_at - ended)))
                # In a storm of news those who bring it have half of the time: many make one round.
                await asyncio.sleep(max(0.0, ended + (ended - now) - self._monotonic()))
        finally:
            await self._cancel_tasks()

    async def drain(self) -> None:
        """Tell every replica to finish what runs and leave; nothing is started any more."""
        self._state.draining = True
        for replica in list(self._state.live()):
            self._stop(
                Stop(
                    replica_id=replica.report.assignment.replica_id,
                    worker_id=replica.worker_id,
                    reason="the server is stopping",
                )
            )
        self._publish(self._state.snapshot())
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _round(self, now: float) -> float:
        """One round; returns when the next is due (monotonic)."""
        for address in self._state.expire(now):
            logger.warning(
                "Worker %s is lost: no report for %g s. Its replicas are placed elsewhere.",
                address,
                self._settings.heartbeat_timeout,
            )
        self._tell_of_silence(now)
        if self._settled_at is None and self._state.workers:
            self._settled_at = now + self._settle
        if self._settled_at is not None and now < self._settled_at and not self._state.draining:
            if not self._state.is_complete():
                if not self._restarted:
                    self._publish(self._state.snapshot())
                return self._settled_at
            self._settled_at = now
        planned = Plan(actions=(), reasons={}, wake_at=None)
        if not self._state.draining:
            planned = plan(self._state.desired, self._state.observed(now), now, self._state.policy)
            for action in planned.actions:
                self._perform(action)
        self._state.explain(planned.reasons)
        self._publish(self._state.snapshot())
        times = (planned.wake_at, self._state.workers.next_check(now))
        return min((each for each in times if each is not None), default=float("inf"))

    def _tell_of_silence(self, now: float) -> None:
        silent = self._state.workers.silent(now)
        if silent and not self._silent:
            logger.warning(
                "More workers fall silent at once than may be lost: the network of the supervisor "
                "is at fault more likely. None of them is taken for lost before %g s.",
                self._settings.mass_loss_timeout,
            )
        self._silent = silent

    async def _sleep(self, seconds: float) -> None:
        # Not wait_for: before Python 3.12 it loses a cancellation that comes with the wake.
        alarm = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()

    def _perform(self, action: Action) -> None:
        if isinstance(action, Start):
            self._start(action)
        elif isinstance(action, Stop):
            self._stop(action)
        else:
            self._state.begin_requeue(action.replica_id, action.max_queue, action.request_limit)
            self._own(self._call_requeue(action, self._state.workers.address(action.worker_id)))

    def _start(self, action: Start) -> None:
        assignment = Assignment(
            replica_id=action.replica_id,
            ordinal=action.slot.ordinal,
            deployment=self._state.desired[action.slot.uid],
            max_queue=action.max_queue,
            request_limit=action.request_limit,
            devices=action.devices,
            restarts=action.restarts,
            created=int(self._unix_now()),
        )
        self._state.begin_start(assignment, action.worker_id)
        address = self._state.workers.address(action.worker_id)
        logger.info("Starting replica %s on %s", action.replica_id, action.reason)
        task = self._own(self._call_start(action, assignment, address))
        self._starts[action.replica_id] = task
        task.add_done_callback(lambda _: self._starts.pop(action.replica_id, None))

    async def _call_start(self, action: Start, assignment: Assignment, address: str) -> None:
        try:
            await self._workers.start(address, assignment)
        except Unavailable as error:
            # The worker's doing, not the model's; by the end of this it is back, or lost.
            unreachable = error.code == UNREACHABLE
            wait = self._settings.heartbeat_timeout if unreachable else _REFUSED_WAIT
            logger.warning("Replica %s was not started: %s", action.replica_id, error.message)
            self._state.workers.avoid(action.worker_id, self._monotonic() + wait)
            self._state.start_failed(action.replica_id, None, self._monotonic())
        except Exception as error:
            logger.warning("Replica %s was not started: %s", action.replica_id, error)
            self._state.start_failed(action.replica_id, Failure.of(error), self._monotonic())
        self.wake()

    def _stop(self, action: Stop) -> None:
        self._state.begin_stop(action.replica_id)
        address = self._state.workers.address(action.worker_id)
        logger.info("Stopping replica %s: %s", action.replica_id, action.reason)
        self._own(self._call_stop(action, address))

    async def _call_stop(self, action: Stop, address: str) -> None:
        start = self._starts.get(action.replica_id)
        if start is not None:
            # A stop that overtakes its start would find nothing to stop.
            await asyncio.wait({start})
        request = StopReplica(replica_id=action.replica_id, drain=self._settings.drain_timeout)
        try:
            await self._workers.stop(address, request)
        except Exception as error:
            logger.warning("Replica %s was not stopped yet: %s", action.replica_id, error)
            retry_at = self._monotonic() + self._settings.heartbeat_interval
            self._state.stop_failed(action.replica_id, retry_at)
            self.wake()

    async def _call_requeue(self, action: Requeue, address: str) -> None:
        request = SetQueue(
            replica_id=action.replica_id,
            max_queue=action.max_queue,
            request_limit=action.request_limit,
        )
        try:
            await self._workers.set_queue(address, request)
        except Exception as error:
            logger.warning("Replica %s keeps its queue for now: %s", action.replica_id, error)
            self._state.requeue_failed(action.replica_id)

    def _own(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _cancel_tasks(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
