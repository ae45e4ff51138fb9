"""One replica process: started, fed its configuration, watched, drained, and cleared away."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress
from time import monotonic
from typing import Any, cast

import msgspec

from xinfer import system
from xinfer.core.worker.downloads import Downloads
from xinfer.core.worker.environments import Environments
from xinfer.core.worker.guard import Guard
from xinfer.core.worker.links import LinkPlace
from xinfer.core.worker.logs import READ_SIZE, LineLog, keep_output
from xinfer.core.worker.preparation import Preparation
from xinfer.core.worker.spawn import Exit, read_pipe, replica_environment
from xinfer.errors import EngineFailed, XinferError
from xinfer.settings import Settings
from xinfer.types.cluster import (
    Assignment,
    ReplicaConfig,
    ReplicaMessage,
    ReplicaReport,
    ReplicaUpdate,
)
from xinfer.types.deployment import DeploymentState
from xinfer.types.failure import Failure
from xinfer.types.model import ModelSpec

logger = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "xinfer.core.replica")
FAILURE_LOG_LINES = 50

_MAX_MESSAGE = 4 << 20  # bytes of one status line
_LEFTOVER_GRACE = 1.0  # seconds to read what is still in the pipes after the process has ended

_read_message = msgspec.json.Decoder(ReplicaMessage).decode


class ReplicaProcess:
    """Runs one assignment in a process group of its own, once.

    Args:
        links: where the replica's link listens.
        link_token: what it is opened with.
        downloads: has the model's files here, where they are not.
        environments: where the packages that its launch brings are installed.
        on_change: called on the event loop whenever `report` has changed.
        command: program and arguments that start the replica.
    """

    def __init__(
        self,
        assignment: Assignment,
        *,
        settings: Settings,
        links: LinkPlace,
        link_token: bytes,
        downloads: Downloads,
        guard: Guard,
        environments: Environments,
        log: LineLog,
        on_change: Callable[[], None],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._settings = settings
        self._link_token = link_token
        self._guard = guard
        self._preparation = Preparation(
            assignment.deployment,
            downloads=downloads,
            environments=environments,
            log=log,
            on_progress=lambda progress: self._change(progress=progress),
        )
        self._log = log
        self._on_change = on_change
        self._command = command
        self._links = links
        self._address = links.address(assignment.replica_id)
        self._wake = asyncio.Event()
        self._stop_at: float | None = None
        self._stdin: asyncio.WriteTransport | None = None
        """Once it has its configuration."""
        self._progress_at = 0.0
        self._exit_status: int | None = None
        self.report = ReplicaReport(assignment=assignment, state=DeploymentState.LOADING)

    @property
    def model(self) -> ModelSpec:
        """With the path of its files, once they are here."""
        return self._preparation.model

    def stop(self, drain: float) -> None:
        """Have it leave: running requests get `drain` seconds. A later call can only shorten it."""
        until = monotonic() + drain
        self._stop_at = until if self._stop_at is None else min(until, self._stop_at)
        if not self.ended:
            self._change(state=DeploymentState.DRAINING)
        self._wake.set()

    def set_queue(self, max_queue: int, request_limit: int | None) -> None:
        """Give it another number of waiting places, and another limit."""
        before = self.report.assignment
        assignment = msgspec.structs.replace(
            before, max_queue=max_queue, request_limit=request_limit
        )
        if self.ended or assignment == before:
            return
        if self._stdin is not None and not self._stdin.is_closing():
            update = ReplicaUpdate(max_queue=max_queue, request_limit=request_limit)
            self._stdin.write(msgspec.json.encode(update) + b"\n")
        self._change(assignment=assignment)

    @property
    def ended(self) -> bool:
        return self.report.state in (DeploymentState.ERROR, DeploymentState.TERMINATED)

    async def run(self) -> None:
        """From start to end of the process; then `report` is final and nothing of it is left."""
        try:
            async with AsyncExitStack() as stack:
                if await self._prepare(stack):
                    await self._run()
                    await self._look_for_damage()
        except XinferError as error:
            self._change(failure=Failure.of(error))
        except Exception as error:
            replica_id = self.report.assignment.replica_id
            logger.exception("Replica %s cannot be run", replica_id)
            self._fail(f"The process of {replica_id}, {self._command[0]}, cannot be run: {error}.")
        finally:
            if self._address.startswith("unix:"):
                with suppress(FileNotFoundError):
                    os.unlink(self._address.removeprefix("unix:"))
            self._conclude()

    async def _prepare(self, stack: AsyncExitStack) -> bool:
        """Have here what it lacks; False when it was asked to leave meanwhile.

        Args:
            stack: holds its virtual environment, if it has one.

        Raises:
            XinferError: it cannot be had.
        """
        preparation = self._preparation
        if preparation.lacks_packages and not await self._ends_first(preparation.install(stack)):
            return False
        return not preparation.lacks_files or await self._ends_first(preparation.obtain())

    async def _look_for_damage(self) -> None:
        """Whether a load failed because of a file that has changed since it was downloaded."""
        first = self.report.assignment.restarts == 0  # reading all of it once is enough
        asked = self._stop_at is not None
        if first and not asked and self.report.loaded is None:
            damage = await self._preparation.find_damage(
                self._settings, lambda: self._stop_at is not None
            )
            if damage is not None:
                self._change(failure=Failure.of(damage))

    async def _ends_first(self, work: Coroutine[Any, Any, None]) -> bool:
        """Wait for it; False, with the work cancelled, when the replica was asked to leave
        meanwhile."""
        task = asyncio.create_task(work)
        task.add_done_callback(lambda _: self._wake.set())
        try:
            while not task.done() and self._stop_at is None:
                self._wake.clear()
                await self._sleep(None)
        finally:
            task.cancel()
            await asyncio.wait({task})
        if self._stop_at is None:
            task.result()
            return True
        if not task.cancelled():
            task.exception()  # it came too late to matter
        return False

    async def _run(self) -> None:
        interpreter = self._preparation.interpreter or self._command[0]
        async with read_pipe(_MAX_MESSAGE) as status, read_pipe(READ_SIZE) as log:
            loop = asyncio.get_running_loop()
            transport, exit_ = await loop.subprocess_exec(
                lambda: Exit(self._wake),
                interpreter,
                *self._command[1:],
                stdin=asyncio.subprocess.PIPE,
                stdout=log.write_fd,
                stderr=log.write_fd,
                pass_fds=(status.write_fd,),
                env=replica_environment(
                    os.environ,
                    self.report.assignment.devices,
                    self.report.assignment.deployment.spec.envs,
                ),
                **system.own_session(),
            )
            assignment = self.report.assignment
            deployment = msgspec.structs.replace(assignment.deployment, model=self.model)
            config = ReplicaConfig(
                assignment=msgspec.structs.replace(assignment, deployment=deployment),
                link_token=self._link_token,
                address=self._address,
                exposed=self._links.exposed,
                status_fd=status.write_fd,
            )
            status.close_write_end()
            log.close_write_end()
            pid = transport.get_pid()
            readers = [
                asyncio.create_task(self._read_status(status.reader), name=f"status of {pid}"),
                asyncio.create_task(
                    keep_output(
                        log.reader,
                        self._log,
                        self._settings.home_path / "logs" / "replicas",
                        assignment.replica_id,
                    ),
                    name=f"log of {pid}",
                ),
            ]
            self._guard.add(pid)
            try:
                # uvloop's transports do not derive from asyncio's.
                stdin = cast(asyncio.WriteTransport, transport.get_pipe_transport(0))
                stdin.write(msgspec.json.encode(config) + b"\n")
                self._stdin = stdin
                self._progress_at = monotonic()
                self._change(pid=pid)
                await self._watch(transport, exit_, stdin)
            finally:
                system.kill_group(pid)
                await exit_.wait()
                self._guard.remove(pid)
                await asyncio.wait(readers, timeout=_LEFTOVER_GRACE)
                for reader in readers:
                    reader.cancel()
                await asyncio.wait(readers)
                self._exit_status = transport.get_returncode()
                transport.close()

    async def _watch(
        self, transport: asyncio.SubprocessTransport, exit_: Exit, stdin: asyncio.WriteTransport
    ) -> None:
        """Until the process has ended, or has to be killed."""
        asked = False
        leave_by: float | None = None
        while not exit_.is_set():
            now = monotonic()
            deadline: float | None = None
            if leave_by is not None:
                if now >= leave_by:
                    return
                deadline = leave_by
            elif self._stop_at is not None:
                if not asked:
                    asked = True
                    with suppress(ProcessLookupError):
                        transport.terminate()
                if self.report.loaded is not None and now < self._stop_at:
                    deadline = self._stop_at
                else:
                    # Nothing (more) to wait for: the end of stdin says "now".
                    stdin.close()
                    leave_by = deadline = now + self._settings.stop_timeout
            elif self.report.failure is not None:
                leave_by = deadline = now + self._settings.stop_timeout
            elif self.report.loaded is None:
                deadline = self._progress_at + self._settings.load_stall_timeout
                if now >= deadline:
                    self._fail(
                        f"Loading {self.report.assignment.deployment.uid} made no progress for "
                        f"{self._settings.load_stall_timeout:g} s and was ended. Raise "
                        "XINFERENCE_LOAD_STALL_TIMEOUT if it only needs longer."
                    )
                    return
            self._wake.clear()
            await self._sleep(None if deadline is None else deadline - now)

    async def _sleep(self, seconds: float | None) -> None:
        """Until something happens, or so many seconds have passed."""
        # Not wait_for: before Python 3.12 it loses a cancellation that comes with the wake.
        alarm: asyncio.TimerHandle | None = None
        if seconds is not None:
            alarm = asyncio.get_running_loop().call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if alarm is not None:
                alarm.cancel()

    async def _read_status(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                self._take(_read_message(line))
        except (ValueError, msgspec.MsgspecError) as error:
            self._fail(
                f"The process of {self.report.assignment.replica_id} reported its state in a way "
                f"this worker does not read ({error}). Do both run the same version of xinfer?"
            )
            self._wake.set()

    def _take(self, message: ReplicaMessage) -> None:
        if message.progress is not None:
            self._progress_at = monotonic()
            self._change(progress=self._preparation.of_all(message.progress))
        elif message.ready is not None:
            state = self.report.state
            if state is DeploymentState.LOADING:
                state = DeploymentState.READY
            self._change(state=state, address=message.ready.address, loaded=message.ready.loaded)
        elif message.failure is not None and self.report.failure is None:
            self._change(failure=message.failure)
        self._wake.set()

    def _conclude(self) -> None:
        """Make the report final: why it ended, in plain words."""
        status = self._exit_status
        words = "was not started" if status is None else system.describe_exit(status)
        replica_id = self.report.assignment.replica_id
        if self._stop_at is not None:
            logger.info("Replica %s has left as asked: it %s.", replica_id, words)
            self._change(state=DeploymentState.TERMINATED, failure=None, address="")
            return
        lines = self._log.tail(FAILURE_LOG_LINES)
        if self.report.failure is None:
            phase = "loading" if self.report.loaded is None else "serving"
            last = f" The last it said: {lines[-1]}" if lines else ""
            self._fail(f"The process of {replica_id} ended while {phase}: it {words}.{last}")
        failure = self.report.failure
        assert failure is not None
        logger.error("Replica %s has failed: %s", replica_id, failure.message)
        details = {**failure.details, "exit": words, "log": lines}
        failure = msgspec.structs.replace(failure, details=details)
        self._change(state=DeploymentState.ERROR, failure=failure, address="")

    def _fail(self, message: str) -> None:
        """Remember why it has to end; the first reason stays."""
        if self.report.failure is None:
            self._change(failure=Failure.of(EngineFailed(message)))

    def _change(self, **fields: object) -> None:
        self.report = msgspec.structs.replace(self.report, **fields)
        self._on_change()
