"""What the supervisor asks of a store."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from xinfer.types.declaration import Declaration
from xinfer.types.deployment import Deployment


class CannotStart(Exception):
    """The store cannot be had; the message says why and what to do."""


class StoredRegistration(NamedTuple):
    """A model that a user described."""

    name: str
    type: str
    text: str
    """The description, as JSON."""


class Store(Protocol):
    """The committed desired state. A method that has returned has committed.

    Methods that change something raise `Unavailable` when it cannot be kept; nothing has changed
    then.
    """

    epoch: int
    """Of this supervisor; larger than that of every one before it on this home."""

    async def load(self) -> list[Deployment]:
        """The deployments that are wanted, on start."""
        ...

    async def put(self, deployment: Deployment) -> None:
        """Keep it, in place of an earlier one of its uid.

        Raises:
            ValueError: its generation is older than one that was kept for this uid.
        """
        ...

    async def delete(self, uid: str) -> None:
        """Forget a deployment, but not the generation of its uid."""
        ...

    async def last_generation(self, uid: str) -> int:
        """The newest generation ever kept for this uid; 0 if none."""
        ...

    async def next_generation(self, uid: str) -> int:
        """A generation newer than every one this uid ever had, on this home or lost with it."""
        ...

    async def declarations(self) -> list[Declaration]:
        """Those that are kept, on start."""
        ...

    async def declare(self, declaration: Declaration) -> None:
        """Keep it, in place of an earlier one of its uid."""
        ...

    async def undeclare(self, uid: str) -> None:
        """Forget a declaration."""
        ...

    async def load_registrations(self) -> list[StoredRegistration]:
        """The models that users registered to be kept, in the order in which they did."""
        ...

    async def put_registration(self, registration: StoredRegistration) -> None:
        """Keep a registered model, in place of an earlier one of its name."""
        ...

    async def delete_registration(self, name: str) -> None:
        """Forget a registered model."""
        ...

    async def close(self) -> None:
        """Let go of the disk."""
        ...
