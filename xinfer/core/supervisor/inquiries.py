"""What can be asked about models that are not launched."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from xinfer.core.supervisor.host import host_of
from xinfer.core.supervisor.state import ClusterState
from xinfer.model.catalog.host import Host
from xinfer.types.deployment import LaunchSpec

EngineAnswers = dict[str, list[dict[str, Any]] | str]


class Inquiries:
    """Answers that change nothing.

    Args:
        engines_of: by engine, what it can run of a model; blocks, so it is called on a thread.
        monotonic: the clock of `state`, in seconds.
    """

    def __init__(
        self,
        state: ClusterState,
        engines_of: Callable[[LaunchSpec, Host], EngineAnswers],
        monotonic: Callable[[], float],
    ) -> None:
        self._state = state
        self._engines_of = engines_of
        self._monotonic = monotonic

    async def engines(self, spec: LaunchSpec) -> EngineAnswers:
        """By engine, the forms of the model that it can run on these workers, or why it cannot.

        Raises:
            NotFound, InvalidRequest, Forbidden, Unavailable: as a launch would.
        """
        host = host_of(self._state.observed(self._monotonic()).workers, spec)
        return await asyncio.to_thread(self._engines_of, spec, host)
