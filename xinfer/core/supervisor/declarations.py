"""Declared models: launched at each start, and until they can be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

import msgspec

from xinfer.core.supervisor.service import DeploymentService
from xinfer.core.supervisor.state import ClusterState
from xinfer.core.supervisor.store import Store
from xinfer.core.supervisor.uids import check_uid
from xinfer.errors import Cancelled, Conflict, InvalidRequest, NotFound, XinferError
from xinfer.types.declaration import API, FILE, Declaration, Declared
from xinfer.types.deployment import LaunchSpec

logger = logging.getLogger(__name__)


class Declarations:
    """What a file declares, as the server read it when it started, and what was declared by the
    API and is kept in the store.

    At a start a declaration has the last word on its uid. Afterwards its launch is tried until it
    is accepted, and what becomes of the deployment is the plan's business and the users'.

    Args:
        file: the file's launches, which name their uids; None when there is no file.
        monotonic, unix_now: clocks, in seconds.
    """

    def __init__(
        self,
        state: ClusterState,
        store: Store,
        service: DeploymentService,
        file: Sequence[LaunchSpec] | None,
        *,
        monotonic: Callable[[], float],
        unix_now: Callable[[], float],
    ) -> None:
        self._state = state
        self._store = store
        self._service = service
        self._file = file
        self._monotonic = monotonic
        self._unix_now = unix_now
        self._declared: dict[str, Declared] = {}
        self._next: dict[str, float] = {}
        """When a launch that was refused is tried again; monotonic."""
        self._wake = asyncio.Event()

    async def begin(self, *, restarted: bool, restore: bool) -> None:
        """Compare with what was wanted before; once, when that is known, before `run`.

        Args:
            restarted: an earlier supervisor of the same server has done so. What was terminated
                since then stays so.
            restore: whether what the store declares is launched at this start.
        """
        for declaration in await self._store.declarations():
            self._declared[declaration.uid] = Declared(declaration=declaration)
        for spec in self._file or ():
            declaration = Declaration(spec=msgspec.structs.replace(spec, declared=FILE))
            self._declared[declaration.uid] = Declared(declaration=declaration)
        if not restarted:
            for uid in list(self._state.desired):
                await self._end_if_not_wanted(uid)
        for uid, declared in self._declared.items():
            by_file = declared.declaration.spec.declared == FILE
            was_launched = restarted and await self._store.last_generation(uid) > 0
            if (restore or by_file) and not was_launched:
                self._make_due(uid)

    async def _end_if_not_wanted(self, uid: str) -> None:
        spec = self._state.desired[uid].spec
        declared = self._declared.get(uid)
        if declared is None:
            if not spec.declared or (spec.declared == FILE and self._file is None):
                return
            why = "it is not declared any more"
        elif not declared.declaration.enabled:
            why = "it is not to be started with the server"
        elif not _is_same(spec, declared.declaration.spec):
            why = "it is declared otherwise now"
        else:
            return
        logger.info("Model %s does not go on as it was: %s", uid, why)
        try:
            await self._service.terminate(uid)
        except XinferError as error:
            logger.error("Model %s goes on as it was: %s", uid, error.message)

    def _make_due(self, uid: str) -> None:
        """Launch it soon, unless it is there or not to be started."""
        declared = self._declared[uid]
        if declared.declaration.enabled and uid not in self._state.desired:
            self._declared[uid] = msgspec.structs.replace(declared, due=True)
            self._next[uid] = self._monotonic()
            self._wake.set()

    async def run(self) -> None:
        """Launch what is due until cancelled."""
        while True:
            self._wake.clear()
            for declared in self.read():
                uid = declared.declaration.uid
                if self._next.get(uid, float("inf")) <= self._monotonic():
                    await self._launch(uid)
            wait = min(self._next.values(), default=None)
            alarm = None
            if wait is not None:
                delay = max(0.0, wait - self._monotonic())
                alarm = asyncio.get_running_loop().call_later(delay, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                if alarm is not None:
                    alarm.cancel()

    async def _launch(self, uid: str) -> None:
        before = self._declared[uid]
        declaration = before.declaration
        now = msgspec.structs.replace(
            before, attempts=before.attempts + 1, last_attempt=self._unix_now()
        )
        try:
            await self._service.launch(declaration.spec, exist_ok=True)
        except XinferError as error:
            retries = declaration.max_retries
            given_up = isinstance(error, InvalidRequest | Cancelled) or (
                retries is not None and now.attempts > retries
            )
            if error.message != before.error:
                again = (
                    "." if given_up else f"; trying again every {declaration.retry_interval:g} s."
                )
                logger.error(
                    "Model %s, which is declared, is not launched: %s%s",
                    uid,
                    error.message.rstrip("."),
                    again,
                )
            now = msgspec.structs.replace(now, error=error.message, due=not given_up)
        else:
            now = msgspec.structs.replace(now, error="", due=False, last_started=self._unix_now())
        current = self._declared.get(uid)
        if current is None or current.declaration is not declaration:
            return  # declared anew, or not any more
        self._declared[uid] = now
        if now.due:
            self._next[uid] = self._monotonic() + declaration.retry_interval
        else:
            del self._next[uid]

    def read(self) -> list[Declared]:
        """All of them, by priority."""
        return sorted(self._declared.values(), key=lambda each: each.declaration.priority)

    async def declare(self, declaration: Declaration) -> None:
        """Keep a declaration, in place of an earlier one of its uid; a model that is there is left
        alone.

        Raises:
            InvalidRequest: a uid that cannot be.
            Conflict: the file declares this uid.
            Unavailable: it cannot be kept.
        """
        uid = declaration.uid
        check_uid(uid)
        self._refuse_if_by_file(uid)
        spec = msgspec.structs.replace(declaration.spec, declared=API)
        declaration = msgspec.structs.replace(declaration, spec=spec)
        await self._store.declare(declaration)
        self._declared[uid] = Declared(declaration=declaration)
        self._next.pop(uid, None)
        self._make_due(uid)

    async def undeclare(self, uid: str) -> None:
        """Forget a declaration. What runs goes on until the next start.

        Raises:
            NotFound: nothing of this uid is declared.
            Conflict: the file declares it.
            Unavailable: that cannot be kept.
        """
        if uid not in self._declared:
            known = ", ".join(self._declared) or "none"
            raise NotFound(f"Model {uid!r} is not declared. Declared: {known}.", param="model_uid")
        self._refuse_if_by_file(uid)
        await self._store.undeclare(uid)
        self._declared.pop(uid, None)
        self._next.pop(uid, None)

    def _refuse_if_by_file(self, uid: str) -> None:
        declared = self._declared.get(uid)
        if declared is not None and declared.declaration.spec.declared == FILE:
            raise Conflict(
                f"Model {uid!r} is declared in the file that the server was started with. Change "
                "that file, and start the server again.",
                code="declared_in_file",
                param="model_uid",
            )


def _is_same(one: LaunchSpec, other: LaunchSpec) -> bool:
    """Whether two launches of one uid ask for the same, whoever made them."""
    return msgspec.structs.replace(one, model_uid=None, declared="") == msgspec.structs.replace(
        other, model_uid=None, declared=""
    )
