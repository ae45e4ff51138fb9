"""The store of a home whose database cannot be read for now: a copy of it, which stays as it is."""

from __future__ import annotations

from pathlib import Path

from xinfer.core.supervisor.store import rows
from xinfer.core.supervisor.store.contract import StoredRegistration
from xinfer.core.supervisor.store.database import Contents
from xinfer.core.supervisor.store.lock import HomeLock
from xinfer.errors import Unavailable
from xinfer.types.declaration import Declaration
from xinfer.types.deployment import Deployment


class ReadOnlyStore:
    """Knows what a copy holds and keeps nothing.

    Args:
        path: the copy.
        refusal: raised for everything that would have to be kept.
    """

    def __init__(
        self, path: Path, contents: Contents, refusal: Unavailable, lock: HomeLock, *, epoch: int
    ) -> None:
        self.epoch = epoch
        self._path = path
        self._contents = contents
        self._refusal = refusal
        self._lock = lock

    async def load(self) -> list[Deployment]:
        return rows.wanted(self._contents.rows, self._path)

    async def put(self, deployment: Deployment) -> None:
        raise self._refusal

    async def delete(self, uid: str) -> None:
        raise self._refusal

    async def last_generation(self, uid: str) -> int:
        row = self._contents.rows.get(uid)
        return row.generation if row is not None else 0

    async def next_generation(self, uid: str) -> int:
        raise self._refusal

    async def declarations(self) -> list[Declaration]:
        return rows.declared(self._contents.declarations, self._path)

    async def declare(self, declaration: Declaration) -> None:
        raise self._refusal

    async def undeclare(self, uid: str) -> None:
        raise self._refusal

    async def load_registrations(self) -> list[StoredRegistration]:
        return list(self._contents.registrations.values())

    async def put_registration(self, registration: StoredRegistration) -> None:
        raise self._refusal

    async def delete_registration(self, name: str) -> None:
        if name in self._contents.registrations:
            raise self._refusal

    async def close(self) -> None:
        self._lock.release()
