"""The store of a home whose database is lost: it leaves the file alone."""

from __future__ import annotations

from xinfer.core.supervisor.store.contract import StoredRegistration
from xinfer.core.supervisor.store.lock import HomeLock
from xinfer.errors import Unavailable
from xinfer.types.declaration import Declaration
from xinfer.types.deployment import Deployment


class RefusingStore:
    """Knows nothing and keeps nothing.

    What workers bring is taken over without it, and may be terminated.

    Args:
        refusal: raised for everything that would have to be kept.
    """

    def __init__(self, refusal: Unavailable, lock: HomeLock, *, epoch: int) -> None:
        self.epoch = epoch
        self._refusal = refusal
        self._lock = lock

    async def load(self) -> list[Deployment]:
        return []

    async def put(self, deployment: Deployment) -> None:
        raise self._refusal

    async def delete(self, uid: str) -> None:
        return

    async def last_generation(self, uid: str) -> int:
        return 0

    async def next_generation(self, uid: str) -> int:
        raise self._refusal

    async def declarations(self) -> list[Declaration]:
        return []

    async def declare(self, declaration: Declaration) -> None:
        raise self._refusal

    async def undeclare(self, uid: str) -> None:
        raise self._refusal

    async def load_registrations(self) -> list[StoredRegistration]:
        return []

    async def put_registration(self, registration: StoredRegistration) -> None:
        raise self._refusal

    async def delete_registration(self, name: str) -> None:
        return

    async def close(self) -> None:
        self._lock.release()
