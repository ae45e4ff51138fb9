"""What happened lately, for those who come later: the last events, in memory."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from xinfer.types.control import ClusterEvent

MAX_EVENTS = 1000
"""Kept of the whole cluster; the oldest go."""
_MAX_TEXT = 2000


class EventLog:
    """Keeps events, and says them in the log.

    Args:
        unix_now: the time of an event, in seconds.
    """

    def __init__(self, logger: logging.Logger, unix_now: Callable[[], float]) -> None:
        self._logger = logger
        self._unix_now = unix_now
        self._events: deque[ClusterEvent] = deque(maxlen=MAX_EVENTS)

    def add(self, level: int, text: str, *, model: str = "", worker: str = "") -> None:
        """Something happened to a model (its uid), or to a worker (its address)."""
        self._logger.log(level, text)
        self.keep(level, text, model=model, worker=worker)

    def keep(self, level: int, text: str, *, model: str = "", worker: str = "") -> None:
        """The same, where the log has it already."""
        self._events.append(
            ClusterEvent(
                at=self._unix_now(),
                level=logging.getLevelName(level),
                text=text[:_MAX_TEXT],
                model=model,
                worker=worker,
            )
        )

    def read(self, model: str | None = None) -> list[ClusterEvent]:
        """The oldest first; of one model, or of everything."""
        return [event for event in self._events if model is None or event.model == model]
