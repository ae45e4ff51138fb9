"""What can be asked of the supervisor about models: launch, scale, terminate, cancel, logs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from xinfer.core.gateway.table import unknown_model
from xinfer.core.launch_environment import check_environment
from xinfer.core.supervisor.launches import Launches, taken
from xinfer.core.supervisor.locks import KeyedLocks
from xinfer.core.supervisor.placement import places_of
from xinfer.core.supervisor.resolving import Resolver
from xinfer.core.supervisor.room import find_lack
from xinfer.core.supervisor.scaling import (
    check_max_queue,
    check_replicas,
    check_request_limits,
    rescaled,
    with_replicas,
    without_replica,
)
from xinfer.core.supervisor.state import ClusterState, LogTarget
from xinfer.core.supervisor.store import Store
from xinfer.core.supervisor.uids import check_aliases, check_uid, default_uid
from xinfer.core.supervisor.workers import WorkerPort
from xinfer.errors import Conflict, InvalidRequest, Unavailable
from xinfer.model.catalog.host import Host
from xinfer.model.catalog.resolve import Resolved
from xinfer.model.catalog.schema import Entry
from xinfer.settings import Settings
from xinfer.types.cluster import ReadReplicaLog, WorkerReport
from xinfer.types.control import LaunchPreview, ReplicaLog
from xinfer.types.deployment import Deployment, DeploymentState, LaunchSpec, Place

logger = logging.getLogger(__name__)

_LEAVING = (DeploymentState.DRAINING, DeploymentState.TERMINATED)


class DeploymentService:
    """Edits the desired state. What is done to one uid is done one after the other.

    Args:
        resolve: model, engine and options of a launch, on what the workers have; blocks, so it is
            called on a thread.
        registered: what users registered, by a model's name.
        changed: called when the desired state has changed.
        monotonic, unix_now: clocks, in seconds.
    """

    def __init__(
        self,
        state: ClusterState,
        store: Store,
        workers: WorkerPort,
        settings: Settings,
        *,
        resolve: Callable[[LaunchSpec, Host], Resolved],
        registered: Callable[[str], Entry | None] = lambda _: None,
        changed: Callable[[], None],
        monotonic: Callable[[], float],
        unix_now: Callable[[], float],
    ) -> None:
        self._state = state
        self._store = store
        self._workers = workers
        self._settings = settings
        self._resolver = Resolver(resolve, workers, registered=registered)
        self._changed = changed
        self._monotonic = monotonic
        self._unix_now = unix_now
        self._locks = KeyedLocks()
        self._launches = Launches()
        self._newest: dict[str, int] = {}
        """The newest generation that was wanted of each uid; the store need not have kept it."""

    async def restore(self) -> list[str]:
        """Want what the store holds; once, on start. Returns the uids."""
        deployments = await self._store.load()
        for deployment in deployments:
            self._want(deployment)
        return [deployment.uid for deployment in deployments]

    async def launch(self, spec: LaunchSpec, *, exist_ok: bool = False) -> str:
        """Want a deployment; returns its uid once that is committed, before anything is loaded.

        Args:
            exist_ok: one of this uid and model that is wanted already will do, and is left alone.

        Raises:
            InvalidRequest: a bad uid, count or option, or a model that nothing here runs.
            NotFound: no such model.
            Conflict: the uid is taken, by anything but a deployment in ERROR; or it or an alias is
                a name of another model.
            Cancelled: `cancel` was called meanwhile.
            Unavailable: the server is stopping, there is no room for it, or it cannot be kept.
        """
        self._refuse_while_draining()
        check_replicas(spec.replica)
        check_max_queue(spec.max_queue)
        check_request_limits(spec.request_limits)
        check_environment(spec, self._settings)
        places = places_of(spec)
        if spec.model_uid is None:
            others = () if exist_ok else {**self._names(), **self._launches.names()}
            uid = default_uid(spec.model_name, others)
        else:
            uid = spec.model_uid
            check_uid(uid)
        check_aliases(spec.aliases)
        with self._launches.announced(uid, spec.aliases, self._names()) as launch:
            async with self._locks.hold(uid):
                if uid in self._state.desired and not self._state.has_failed(uid):
                    same = self._state.desired[uid].spec.model_name == spec.model_name
                    if exist_ok and same:
                        return uid
                    raise taken(uid, "running")
                workers = self._state.observed(self._monotonic()).workers
                resolved = await launch.unless_cancelled(self._resolver.resolve(spec, workers))
                self._refuse_while_draining()
                generation = await self._store.next_generation(uid)
                deployment = self._make(uid, generation, spec, places, resolved)
                self._refuse_without_room(deployment)
                await self._commit(deployment)
        return uid

    async def preview(self, spec: LaunchSpec) -> LaunchPreview:
        """What a launch would come to; wants nothing and downloads no more than headers.

        Raises:
            InvalidRequest, NotFound, Unavailable: as `launch`, but for want of room, which the
                answer tells.
        """
        self._refuse_while_draining()
        check_replicas(spec.replica)
        check_environment(spec, self._settings)
        places = places_of(spec)
        uid = default_uid(spec.model_name, self._names())
        workers = self._state.observed(self._monotonic()).workers
        resolved = await self._resolver.resolve(spec, workers)
        lack = self._lack_of_room(self._make(uid, 0, spec, places, resolved))
        return LaunchPreview(
            model=resolved.model,
            engine=resolved.engine,
            reason=resolved.reason,
            memory=resolved.memory,
            lack=lack.message if lack else "",
        )

    async def terminate(self, uid: str) -> None:
        """Want a deployment no more; returns once that is committed, while its replicas drain.

        Raises:
            NotFound: there is none of this uid.
            Unavailable: its end cannot be kept.
        """
        async with self._locks.hold(uid):
            self._require(uid)
            await self._remove(uid)

    async def scale(
        self,
        uid: str,
        replicas: int | None = None,
        max_queue: int | None = None,
        request_limits: int | None = None,
    ) -> int:
        """Want other numbers of replicas, waiting places and requests at once; None leaves one be.

        Returns:
            The number of replicas wanted once that is committed, before any is started or stopped.

        Raises:
            InvalidRequest: a number that cannot be.
            NotFound: there is no deployment of this uid.
            Unavailable: the server is stopping, there is no room for more replicas, or the change
                cannot be kept.
        """
        self._refuse_while_draining()
        async with self._locks.hold(uid):
            self._require(uid)
            after = rescaled(self._state.desired[uid], replicas, max_queue, request_limits)
            await self._change(after)
            return after.replicas

    async def add_replicas(
        self, uid: str, count: int = 1, places: Sequence[Place] = ()
    ) -> tuple[int, ...]:
        """Want so many replicas more, each in a place of its own if `places` are given.

        Returns:
            Their numbers once that is committed, before any is started.

        Raises:
            InvalidRequest: too many, or a place that cannot be.
            NotFound: there is no deployment of this uid.
            Unavailable: as for `scale`.
        """
        self._refuse_while_draining()
        async with self._locks.hold(uid):
            self._require(uid)
            after, ordinals = with_replicas(self._state.desired[uid], count, places)
            await self._change(after)
            return ordinals

    async def remove_replica(self, uid: str, ordinal: int) -> int:
        """Want this replica no more, and the deployment neither if it is the last.

        Returns:
            The number of replicas still wanted once that is committed, while it drains.

        Raises:
            NotFound: there is no deployment of this uid, or no such replica.
            Unavailable: the server is stopping, or the change cannot be kept.
        """
        self._refuse_while_draining()
        async with self._locks.hold(uid):
            self._require(uid)
            after = without_replica(self._state.desired[uid], ordinal)
            if after is None:
                await self._remove(uid)
                return 0
            await self._change(after)
            return after.replicas

    async def cancel(self, uid: str) -> None:
        """End a launch that has not made every replica READY; whoever waits for it is told.

        Raises:
            NotFound: there is no deployment of this uid.
            Conflict: it is not being launched: it runs, or has failed.
            Unavailable: its end cannot be kept.
        """
        launch = self._launches.get(uid)
        if launch is not None:
            launch.cancel()
        async with self._locks.hold(uid):
            if launch is not None and launch.cancelled:
                return
            self._require(uid)
            if not self._state.is_launching(uid):
                raise Conflict(
                    f"Model {uid!r} is not being launched, so there is nothing to cancel. "
                    "Terminate it to end it.",
                    code="not_launching",
                )
            await self._remove(uid)

    def version(self) -> int:
        """Of the snapshot that holds all that has been done until now."""
        return self._state.snapshot().version

    async def logs(self, uid: str, lines: int) -> list[ReplicaLog]:
        """The last `lines` lines of each ordinal's newest replica.

        A log whose worker cannot be reached is one line that says so.

        Raises:
            InvalidRequest: fewer than one line.
            NotFound: there is no deployment of this uid.
        """
        if lines < 1:
            raise InvalidRequest(f"lines is {lines}; ask for at least 1.", param="lines")
        targets = self._state.log_targets(uid)
        if not targets:
            self._require(uid)
        return list(await asyncio.gather(*(self._log(target, lines) for target in targets)))

    async def adopt(self, report: WorkerReport) -> None:
        """Want the deployments whose replicas a worker brings and that the store never had.

        That is so when the store was lost, or is older than what runs. One that was terminated
        stays so: its generation is known.
        """
        for replica in report.replicas:
            deployment = replica.assignment.deployment
            if replica.state in _LEAVING or not await self._is_new(deployment):
                continue
            async with self._locks.hold(deployment.uid):
                if not await self._is_new(deployment):
                    continue
                logger.info("Took over model %s, which runs already", deployment.uid)
                try:
                    await self._store.put(deployment)
                except Unavailable as error:  # that is no reason to end what runs
                    logger.warning(
                        "Model %s runs but is not kept. %s", deployment.uid, error.message
                    )
                self._want(deployment)

    async def _is_new(self, deployment: Deployment) -> bool:
        uid = deployment.uid
        kept = await self._store.last_generation(uid)
        return deployment.generation > max(kept, self._newest.get(uid, 0))

    def _want(self, deployment: Deployment) -> None:
        self._newest[deployment.uid] = deployment.generation
        self._state.put(deployment)

    def _make(
        self,
        uid: str,
        generation: int,
        spec: LaunchSpec,
        places: tuple[Place, ...],
        resolved: Resolved,
    ) -> Deployment:
        return Deployment(
            uid=uid,
            generation=generation,
            created=int(self._unix_now()),
            spec=spec,
            model=resolved.model,
            engine=resolved.engine,
            engine_reason=resolved.reason,
            options=resolved.options,
            replicas=spec.replica,
            max_queue=self._settings.max_queue if spec.max_queue is None else spec.max_queue,
            request_limits=spec.request_limits or None,
            memory=resolved.memory,
            places=places,
        )

    def _refuse_without_room(self, deployment: Deployment) -> None:
        lack = self._lack_of_room(deployment)
        if lack is not None:
            raise lack

    def _lack_of_room(self, deployment: Deployment) -> Unavailable | None:
        observed = self._state.observed(self._monotonic())
        lack = find_lack(self._state.desired, observed, deployment, self._state.policy)
        if lack is None:
            return None
        some = f" Of {deployment.replicas} replicas {lack.placed} would fit." if lack.placed else ""
        return Unavailable(
            lack.refusal.message + some,
            code="no_capacity",
            retry_after=self._settings.heartbeat_timeout,
            details={
                "replicas": deployment.replicas,
                "placed": lack.placed,
                **lack.refusal.details(),
            },
        )

    async def _commit(self, deployment: Deployment) -> None:
        await self._store.put(deployment)
        self._want(deployment)
        logger.info(
            "Launching model %s: %s on engine %s, %d replica(s)",
            deployment.uid,
            deployment.model.name,
            deployment.engine,
            deployment.replicas,
        )
        self._changed()

    async def _change(self, after: Deployment) -> None:
        """Want a deployment with other numbers than it has."""
        before = self._state.desired[after.uid]
        if after == before:
            return
        if after.replicas > before.replicas:
            self._refuse_without_room(after)
        await self._store.put(after)
        self._want(after)
        logger.info(
            "Model %s is to have %d replica(s), %d waiting places and %s requests at once",
            after.uid,
            after.replicas,
            after.max_queue,
            "any number of" if after.request_limits is None else after.request_limits,
        )
        self._changed()

    async def _remove(self, uid: str) -> None:
        await self._store.delete(uid)
        self._state.remove(uid)
        logger.info("Terminating model %s", uid)
        self._changed()

    async def _log(self, target: LogTarget, lines: int) -> ReplicaLog:
        request = ReadReplicaLog(replica_id=target.replica_id, lines=lines)
        try:
            found = await self._workers.logs(target.worker, request)
        except Unavailable as error:
            found = [f"(This log cannot be read: {error.message})"]
        return ReplicaLog(replica_id=target.replica_id, ordinal=target.ordinal, lines=found)

    def _names(self) -> dict[str, str]:
        """All names of models that are wanted, each with the uid it stands for."""
        return {
            name: uid
            for uid, deployment in self._state.desired.items()
            for name in (uid, *deployment.spec.aliases)
        }

    def _require(self, uid: str) -> None:
        if uid not in self._state.desired:
            raise unknown_model(uid, list(self._state.desired))

    def _refuse_while_draining(self) -> None:
        if self._state.draining:
            raise Unavailable(
                "The server is stopping and launches nothing any more.",
                code="draining",
                retry_after=self._settings.drain_timeout,
            )
