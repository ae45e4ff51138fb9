"""What can be asked about models that are not launched."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable

from xinfer.core.engines import installed_engines
from xinfer.core.launch_question import EngineAnswers, ResolveLaunch
from xinfer.core.supervisor.host import host_of
from xinfer.core.supervisor.observed import ObservedWorker
from xinfer.core.supervisor.state import ClusterState
from xinfer.core.supervisor.workers import WorkerPort
from xinfer.errors import XinferError
from xinfer.model.catalog.host import Host
from xinfer.model.catalog.schema import Entry
from xinfer.types.deployment import LaunchSpec

logger = logging.getLogger(__name__)


class Inquiries:
    """Answers that change nothing.

    Args:
        engines_of: by engine, what it can run of a model; blocks, so it is called on a thread.
        monotonic: the clock of `state`, in seconds.
        registered: what users registered, by a model's name.
        installed: the engines of this machine; blocks for a moment.
    """

    def __init__(
        self,
        state: ClusterState,
        workers: WorkerPort,
        engines_of: Callable[[LaunchSpec, Host], EngineAnswers],
        monotonic: Callable[[], float],
        *,
        registered: Callable[[str], Entry | None] = lambda _: None,
        installed: Callable[[], Collection[str]] = installed_engines,
    ) -> None:
        self._state = state
        self._workers = workers
        self._engines_of = engines_of
        self._monotonic = monotonic
        self._registered = registered
        self._installed = installed

    async def engines(self, spec: LaunchSpec) -> EngineAnswers:
        """By engine, the forms of the model that it can run on these workers, or why it cannot.

        Of an engine that only workers have, what one of them says.

        Raises:
            NotFound, InvalidRequest, Forbidden, Unavailable: as a launch would.
        """
        workers = self._state.observed(self._monotonic()).workers
        answers = await asyncio.to_thread(self._engines_of, spec, host_of(workers, spec))
        here = frozenset(await asyncio.to_thread(self._installed))
        for worker in _with_others(workers, here):
            question = ResolveLaunch(
                spec, host_of((worker,), spec), self._registered(spec.model_name)
            )
            try:
                told = await self._workers.engines(worker.address, question)
            except XinferError as error:
                logger.warning("Worker %s tells no engines: %s", worker.address, error.message)
                continue
            for engine in told.keys() & worker.engines.keys() - here:
                if not isinstance(answers.get(engine), list):
                    answers[engine] = told[engine]
        return answers


def _with_others(
    workers: Iterable[ObservedWorker], here: Collection[str]
) -> Iterable[ObservedWorker]:
    """Of the workers that have engines beside these, one for each set."""
    kinds = {frozenset(worker.engines.keys() - set(here)): worker for worker in workers}
    return [worker for others, worker in kinds.items() if others]
