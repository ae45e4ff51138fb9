"""What can be asked of the cluster's machines: who is there, that one leaves, that all stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from xinfer.core.supervisor.state import ClusterState
from xinfer.core.supervisor.workers import WorkerPort
from xinfer.errors import Conflict, NotFound, XinferError
from xinfer.types.cluster import CachedModel, RemoveCached, RemoveEnvironments
from xinfer.types.control import Node, NodeEnvironment

logger = logging.getLogger(__name__)


class Members:
    """The workers, and the supervisor itself, as machines.

    Args:
        monotonic: the clock of `state`, in seconds.
    """

    def __init__(
        self, state: ClusterState, workers: WorkerPort, monotonic: Callable[[], float]
    ) -> None:
        self._state = state
        self._workers = workers
        self._monotonic = monotonic
        self.stop_asked = asyncio.Event()
        """Set by `stop`."""

    def nodes(self) -> list[Node]:
        """The workers, by address."""
        return self._state.workers.nodes(self._monotonic())

    async def drain(self, worker: str) -> None:
        """Have a worker leave once other workers serve what it runs.

        Returns when the worker knows; asking again changes nothing.

        Args:
            worker: its address, or its host if it is the only one there.

        Raises:
            NotFound: there is no such worker.
            Conflict: several are on this host, or there is no other worker, so all its models
                would end.
            Unavailable: the worker cannot be reached.
        """
        nodes = self.nodes()
        address, *others = self._named(worker)
        if others:
            raise Conflict(
                f"Several workers are on {worker}: {', '.join((address, *others))}. Name one.",
                code="ambiguous",
                param="address",
            )
        if all(node.leaving or node.address == address for node in nodes):
            raise Conflict(
                f"No worker but {address} takes models, so draining it would end them all. Start "
                "another worker first, or stop everything: xinference stop-cluster.",
                code="last_worker",
            )
        logger.info("Worker %s is asked to leave", address)
        await self._workers.leave(address)

    async def environments(
        self, model_name: str | None = None, engine: str | None = None, worker: str | None = None
    ) -> list[NodeEnvironment]:
        """The virtual environments on the workers, one entry for each model that has one.

        Raises:
            Unavailable: a worker cannot be reached.
        """
        addresses = [node.address for node in self.nodes() if _is(node.address, worker)]
        found = await asyncio.gather(*(self._workers.environments(each) for each in addresses))
        return [
            NodeEnvironment(worker=address, model_name=model, environment=one)
            for address, there in zip(addresses, found, strict=True)
            for one in there
            for model in one.models
            if model_name in (None, model) and (engine is None or engine in one.engines)
        ]

    async def remove_environments(self, request: RemoveEnvironments, worker: str | None) -> bool:
        """Remove a model's virtual environments from the workers; whether there was one.

        Raises:
            Conflict: a replica runs in one.
            Unavailable: a worker cannot be reached.
        """
        addresses = [node.address for node in self.nodes() if _is(node.address, worker)]
        calls = (self._workers.remove_environments(each, request) for each in addresses)
        return any(await asyncio.gather(*calls))

    async def dismiss(self) -> None:
        """Have every worker leave; those that cannot be reached are named in the log."""

        async def tell(address: str) -> None:
            try:
                await self._workers.leave(address)
            except XinferError as error:
                logger.warning("Worker %s was not told to leave: %s", address, error)

        await asyncio.gather(*(tell(node.address) for node in self.nodes()))

    async def cached(self, worker: str | None) -> list[CachedModel]:
        """The models that have been downloaded, of all workers or of one (host or address); a
        worker that cannot be reached is left out, and named in the log.

        Raises:
            NotFound: there is no such worker.
        """

        async def ask(address: str) -> list[CachedModel]:
            try:
                return await self._workers.cached(address)
            except XinferError as error:
                logger.warning("The cache of worker %s is not known: %s", address, error)
                return []

        lists = await asyncio.gather(*(ask(address) for address in self._named(worker)))
        return [model for each in lists for model in each]

    async def remove_cached(self, version: str, worker: str | None) -> int:
        """Take a model off the disks of all workers, or of one.

        Returns:
            How many entries went.

        Raises:
            NotFound: there is no such worker, or nothing of this version on it.
            Conflict: the model runs, or is being downloaded.
            Unavailable: a worker cannot be reached.
        """
        request = RemoveCached(version=version)
        removed = 0
        for address in self._named(worker):
            removed += await self._workers.remove_cached(address, request)
        if not removed:
            raise NotFound(
                f"No worker has {version!r} in its cache. `xinference cached` lists what there is.",
                code="not_cached",
                param="model_version",
            )
        return removed

    def _named(self, worker: str | None) -> list[str]:
        """Addresses of the workers with this host or address; of all for None."""
        addresses = [node.address for node in self.nodes()]
        if worker is None:
            return addresses
        found = [each for each in addresses if _is(each, worker)]
        if not found:
            known = ", ".join(addresses) or "none"
            raise NotFound(f"There is no worker {worker!r}. Connected: {known}.", param="worker_ip")
        return found

    def stop(self) -> None:
        """Have everything end, on all machines."""
        logger.info("The cluster is asked to stop")
        self.stop_asked.set()


def _is(address: str, worker: str | None) -> bool:
    """Whether an address is the worker that is named, by its host or all of it."""
    return worker in (None, "", address, address.rpartition(":")[0].strip("[]"))
