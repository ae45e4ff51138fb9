"""The measured time."""

from __future__ import annotations

import time

from benchmarks.plan import Outcome
from benchmarks.processor import processor_seconds


class Window:
    """Wall time, and the processor time of watched processes, between two moments.

    Args:
        watch: pids by role.
    """

    def __init__(self, watch: dict[str, int]) -> None:
        self._watch = watch
        self._began = 0.0
        self._before: dict[str, float] = {}
        self.opened = False
        self.outcome: Outcome | None = None

    def open(self) -> None:
        self.opened = True
        self._before = self._processor()
        self._began = time.perf_counter()

    def close(self, items: int, **times: list[float]) -> Outcome:
        """End the measurement of `items`; `times` are lists of the outcome."""
        seconds = time.perf_counter() - self._began
        used = {role: now - self._before[role] for role, now in self._processor().items()}
        self.outcome = Outcome(seconds=seconds, items=items, processor=used, **times)
        return self.outcome

    def _processor(self) -> dict[str, float]:
        return {role: processor_seconds(pid) for role, pid in self._watch.items()}
