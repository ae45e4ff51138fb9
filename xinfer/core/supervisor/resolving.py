"""Where a launch is resolved: here, or on a worker that has what this machine has not."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Iterable

from xinfer.core.engines import installed_engines
from xinfer.core.launch_question import ResolveLaunch
from xinfer.core.supervisor.host import host_of
from xinfer.core.supervisor.observed import ObservedWorker
from xinfer.core.supervisor.placement import may_run_on, places_of
from xinfer.core.supervisor.workers import WorkerPort
from xinfer.errors import InvalidRequest, NotFound, Unavailable, XinferError
from xinfer.model.catalog.host import Host
from xinfer.model.catalog.resolve import Resolved
from xinfer.model.catalog.schema import Entry
from xinfer.types.deployment import LaunchSpec

logger = logging.getLogger(__name__)


class Resolver:
    """Finds model, engine and options of a launch.

    The machine of the supervisor need not have the engines that workers have, nor the files. So
    where it cannot resolve a launch, or only to an engine that no worker has which the launch may
    run on, those workers are asked that can know better; one of each kind, by their engines.

    Args:
        here: resolves on this machine, for what workers can give; blocks, so it has a thread.
        registered: what users registered, by name, for workers to know as well.
        installed: the engines of this machine; blocks for a moment.
    """

    def __init__(
        self,
        here: Callable[[LaunchSpec, Host], Resolved],
        workers: WorkerPort,
        *,
        registered: Callable[[str], Entry | None] = lambda _: None,
        installed: Callable[[], Collection[str]] = installed_engines,
    ) -> None:
        self._here = here
        self._workers = workers
        self._registered = registered
        self._installed = installed

    async def resolve(self, spec: LaunchSpec, workers: Iterable[ObservedWorker]) -> Resolved:
        """Resolve a launch.

        Args:
            workers: those that take replicas now.

        Raises:
            NotFound: no such name or path.
            InvalidRequest: nothing runs what was asked for. Of several refusals it is that of
                a worker that has the engine which was asked for, else that of this machine.
        """
        places = places_of(spec)
        able = [
            worker
            for worker in workers
            if any(may_run_on(worker, place, spec.worker_labels) for place in places)
        ]
        refusal: XinferError | None = None
        resolved: Resolved | None = None
        try:
            resolved = await asyncio.to_thread(self._here, spec, host_of(able, spec))
        except (InvalidRequest, NotFound) as error:
            refusal = error
        if resolved is not None and (
            not able or any(resolved.engine in worker.engines for worker in able)
        ):
            return resolved
        for worker in await self._who_knows_better(spec, able, refusal):
            registered = self._registered(spec.model_name)
            question = ResolveLaunch(spec, host_of((worker,), spec), registered)
            try:
                found = await self._workers.resolve(worker.address, question)
            except (InvalidRequest, NotFound) as error:
                if _has(worker, spec.model_engine):
                    refusal = error
                continue
            except Unavailable as error:
                logger.warning("Worker %s resolves nothing: %s", worker.address, error.message)
                continue
            if found.engine in worker.engines:
                return found
        if resolved is not None:
            return resolved  # placement will say what is not installed where
        assert refusal is not None
        raise refusal

    async def _who_knows_better(
        self, spec: LaunchSpec, able: Iterable[ObservedWorker], refusal: XinferError | None
    ) -> list[ObservedWorker]:
        """One worker for each set of engines, of those that may say otherwise."""
        kinds = {frozenset(worker.engines): worker for worker in able}
        if isinstance(refusal, NotFound):
            # A name is unknown to all; a file may be on workers alone.
            return list(kinds.values()) if _names_file(spec) else []
        if refusal is not None and kinds:
            here = await asyncio.to_thread(self._installed)
            kinds = {kind: worker for kind, worker in kinds.items() if kind - set(here)}
        return list(kinds.values())


def _has(worker: ObservedWorker, engine: str | None) -> bool:
    return engine is not None and engine.lower() in map(str.lower, worker.engines)


def _names_file(spec: LaunchSpec) -> bool:
    return os.path.isabs(os.path.expanduser(spec.model_path or spec.model_name))
