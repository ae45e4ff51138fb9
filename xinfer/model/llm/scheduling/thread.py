"""The step loop on a thread of its own, and its events on the event loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from xinfer.model.engine import TokenEvent, TokenRequest
from xinfer.model.llm.mailbox import Mailbox
from xinfer.model.llm.scheduling.loop import StepLoop
from xinfer.types.model import EngineStats
from xinfer.types.request import Constraint

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.compiler import ConstraintCompiler

logger = logging.getLogger(__name__)


class SteppingEngine:
    """Base of engines on a `StepLoop`: all of the contract but describing and loading a model.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._loop: StepLoop | None = None
        self._thread: threading.Thread | None = None
        self._mailbox: Mailbox[TokenEvent] | None = None
        self._ready = threading.Event()
        self._closing = False
        self._failure: BaseException | None = None
        self._constraints: ConstraintCompiler | None = None
        """For the model's vocabulary, where they can be enforced."""

    def _start(self, loop: StepLoop) -> None:
        """Compute; begins with the first request, or the first who waits for events."""
        self._loop = loop
        self._thread = threading.Thread(target=self._compute, name=self._name, daemon=True)
        self._thread.start()

    def _emit(self, events: list[TokenEvent]) -> None:
        """Hand over the events of a step; from the computing thread."""
        if self._mailbox is not None:
            self._mailbox.put_all(events)

    def check_constraint(self, constraint: Constraint) -> None:
        assert self._constraints is not None
        self._constraints.check(constraint)

    def submit(self, request: TokenRequest) -> None:
        self._events()
        assert self._loop is not None
        self._loop.submit(request)

    def abort(self, request_id: int) -> None:
        if self._loop is not None:
            self._loop.abort(request_id)

    async def steps(self) -> AsyncIterator[list[TokenEvent]]:
        """The events of each step, until the engine is closed.

        Raises:
            Exception: that with which computing failed.
        """
        async for events in self._events().batches():
            yield events
        if self._failure is not None:
            raise self._failure

    def stats(self) -> EngineStats:
        return EngineStats() if self._loop is None else self._loop.stats()

    def _stop(self) -> None:
        """End what runs and the thread; blocks until the step that is being computed has ended."""
        self._closing = True
        if self._loop is not None:
            self._loop.stop()
        self._ready.set()
        if self._thread is not None:
            self._thread.join()
        if self._mailbox is not None:
            self._mailbox.close()

    def _events(self) -> Mailbox[TokenEvent]:
        """Made on first use, on the event loop; models are loaded on another thread."""
        if self._mailbox is None:
            self._mailbox = Mailbox()
            if self._closing:
                self._mailbox.close()
            self._ready.set()
        return self._mailbox

    def _compute(self) -> None:
        self._ready.wait()
        assert self._loop is not None
        try:
            self._loop.run()
        except BaseException as error:
            logger.exception("The engine cannot go on")
            self._failure = error
            if self._mailbox is not None:
                self._mailbox.close()
