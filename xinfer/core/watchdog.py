"""Says what an event loop is busy with when it should not be.

While one thing runs on the loop nothing else does: no answer, no heartbeat. A thread beside it sees
that, and where.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from time import monotonic
from types import FrameType

logger = logging.getLogger(__name__)

_LOOKS = 4
"""Looks within the threshold."""

WhileBlocked = Callable[[float, float, Callable[[], bool]], None]
"""Given the seconds it has, when the loop was last seen (monotonic), and whether it still is
blocked."""


@contextlib.contextmanager
def watched(threshold: float) -> Iterator[LoopWatchdog | None]:
    """Watch the running loop meanwhile; call it on the loop.

    Args:
        threshold: seconds for which one thing may run before its stack is logged; 0 never is.
    """
    if not threshold:
        yield None
        return
    watchdog = LoopWatchdog(asyncio.get_running_loop(), threshold)
    watchdog.start()
    try:
        yield watchdog
    finally:
        watchdog.stop()


class LoopWatchdog:
    """A thread that expects a sign from the loop, several times within the threshold."""

    def __init__(self, loop: asyncio.AbstractEventLoop, threshold: float) -> None:
        self._loop = loop
        self._threshold = threshold
        self.while_blocked: WhileBlocked | None = None
        """Called on the watchdog's thread, again and again while the loop is blocked."""
        self._interval = threshold / _LOOKS
        self._watched = threading.get_ident()
        self._beat_at = monotonic()
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """From now on; on the loop."""
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        """No more; on the loop. The thread has ended when this returns."""
        if self._timer is not None:
            self._timer.cancel()
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        self._beat_at = monotonic()
        self._timer = self._loop.call_later(self._interval, self._beat)

    def _watch(self) -> None:
        blocked: float | None = None  # the sign after which none has come
        looked = monotonic()
        while not self._pause(blocked):
            now, beat = monotonic(), self._beat_at
            stood_still = now - looked > self._threshold
            looked = now
            if blocked is not None and beat != blocked:
                spent = beat - blocked
                logger.warning("The event loop goes on; it was blocked for %.1f s.", spent)
                blocked = None
            elif stood_still:
                # So did this thread: the process was stopped, or held Python's lock all the time.
                logger.warning("The whole process stood still for %.1f s.", now - beat)
            elif blocked is None and now - beat > self._threshold:
                blocked = beat
                self._report(now - beat)

    def _pause(self, blocked: float | None) -> bool:
        """Until the next look; whether there is none any more."""
        until = monotonic() + self._interval
        if blocked is not None and self.while_blocked is not None:
            self.while_blocked(self._interval, blocked, lambda: self._beat_at == blocked)
        return self._stopped.wait(max(0.0, until - monotonic()))

    def _report(self, seconds: float) -> None:
        frame: FrameType | None = sys._current_frames().get(self._watched)
        stack = "".join(traceback.format_stack(frame)) if frame else "(its thread has ended)"
        record = logger.makeRecord(
            logger.name,
            logging.WARNING,
            __file__,
            0,
            "The event loop has been blocked for %.1f s; nothing else is done meanwhile. It is at:",
            (seconds,),
            None,
            sinfo=stack.rstrip(),
        )
        logger.handle(record)
