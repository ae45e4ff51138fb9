"""The store on disk."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from xinfer.core.supervisor.store import rows
from xinfer.core.supervisor.store.backups import Backups
from xinfer.core.supervisor.store.contract import StoredRegistration
from xinfer.core.supervisor.store.database import Database, Row
from xinfer.core.supervisor.store.lock import HomeLock
from xinfer.errors import Unavailable
from xinfer.types.declaration import Declaration
from xinfer.types.deployment import Deployment

logger = logging.getLogger(__name__)

RETRY_AFTER = 5.0
"""Seconds after which whoever was refused may try again."""

_encode = msgspec.json.Encoder().encode


class SqliteStore:
    """Keeps what is wanted and registered in SQLite. Changes are made on one thread; answers come
    from memory, for nobody else may write.

    Args:
        epoch: of this supervisor; the database may have failed to keep it.
        first_generation: where generations begin: the Unix second of the start, so that they grow
            even if the home is lost.
    """

    def __init__(
        self,
        database: Database,
        backups: Backups,
        lock: HomeLock,
        *,
        epoch: int,
        first_generation: int,
    ) -> None:
        self.epoch = epoch
        self._database = database
        self._backups = backups
        self._lock = lock
        self._first_generation = first_generation
        self._thread = ThreadPoolExecutor(1, "store")

    async def load(self) -> list[Deployment]:
        return rows.wanted(self._database.rows, self._database.path)

    async def put(self, deployment: Deployment) -> None:
        last = await self.last_generation(deployment.uid)
        if deployment.generation < last:
            raise ValueError(
                f"generation {deployment.generation} of {deployment.uid!r} is older than {last}"
            )
        row = Row(deployment.generation, _encode(deployment), parked=False)
        await self._change(lambda: self._database.put(deployment.uid, row))

    async def delete(self, uid: str) -> None:
        row = self._database.rows.get(uid)
        if row is not None and row.body is not None:
            gone = Row(row.generation, None, parked=False)
            await self._change(lambda: self._database.put(uid, gone))

    async def last_generation(self, uid: str) -> int:
        row = self._database.rows.get(uid)
        return row.generation if row is not None else 0

    async def next_generation(self, uid: str) -> int:
        return max(await self.last_generation(uid) + 1, self._first_generation)

    async def declarations(self) -> list[Declaration]:
        return rows.declared(self._database.declarations, self._database.path)

    async def declare(self, declaration: Declaration) -> None:
        body = _encode(declaration)
        await self._change(lambda: self._database.declare(declaration.uid, body))

    async def undeclare(self, uid: str) -> None:
        await self._change(lambda: self._database.declare(uid, None))

    async def load_registrations(self) -> list[StoredRegistration]:
        return list(self._database.registrations.values())

    async def put_registration(self, registration: StoredRegistration) -> None:
        await self._change(lambda: self._database.put_registration(registration))

    async def delete_registration(self, name: str) -> None:
        if name in self._database.registrations:
            await self._change(lambda: self._database.delete_registration(name))

    async def close(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._database.close)
        self._thread.shutdown()
        self._lock.release()

    async def _change(self, change: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, change)
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(
                f"This cannot be kept, and so it was not done: {self._database.path}: {error}. "
                "Running models go on. Mend that and try again.",
                code="store_unavailable",
                retry_after=RETRY_AFTER,
            ) from error
        self._thread.submit(self._back_up)

    def _back_up(self) -> None:
        try:
            self._database.checkpoint()
            self._backups.keep(self._database)
        except (sqlite3.Error, OSError) as error:
            logger.warning("There is no backup of the last change: %s", error)
