"""Where the desired state is kept."""

from __future__ import annotations

from typing import Protocol

from xinfer.types.deployment import Deployment


class Store(Protocol):
    """The committed desired state. A method that has returned has committed."""

    async def load(self) -> list[Deployment]:
        """All deployments, on start."""
        ...

    async def put(self, deployment: Deployment) -> None:
        """Keep it, in place of an earlier one of its uid.

        Raises:
            ValueError: its generation is older than one that was kept for this uid.
        """
        ...

    async def delete(self, uid: str) -> None:
        """Forget a deployment, but not the generations of its uid."""
        ...

    async def last_generation(self, uid: str) -> int:
        """The newest generation ever kept for this uid; 0 if none."""
        ...

    async def next_generation(self, uid: str) -> int:
        """A generation newer than every one this uid ever had."""
        ...


class MemoryStore:
    """A store that forgets when its process ends.

    Args:
        first_generation: where generations begin; to grow from one process to the next although
            nothing is kept, it is the Unix second of the start.
    """

    def __init__(self, first_generation: int) -> None:
        self._first_generation = first_generation
        self._deployments: dict[str, Deployment] = {}
        self._generations: dict[str, int] = {}

    async def load(self) -> list[Deployment]:
        return list(self._deployments.values())

    async def put(self, deployment: Deployment) -> None:
        last = self._generations.get(deployment.uid, 0)
        if deployment.generation < last:
            raise ValueError(
                f"generation {deployment.generation} of {deployment.uid!r} is older than {last}"
            )
        self._deployments[deployment.uid] = deployment
        self._generations[deployment.uid] = deployment.generation

    async def delete(self, uid: str) -> None:
        self._deployments.pop(uid, None)

    async def last_generation(self, uid: str) -> int:
        return self._generations.get(uid, 0)

    async def next_generation(self, uid: str) -> int:
        return max(self._generations.get(uid, 0) + 1, self._first_generation)
