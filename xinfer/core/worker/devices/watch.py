"""Asks one driver again and again, where a driver that hangs holds up nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from time import monotonic

from xinfer.core.worker.devices.attribution import attribute, process_group
from xinfer.core.worker.devices.driver import Driver, Reading
from xinfer.types.cluster import ReplicaReport


class Watch:
    """The last reading of one driver. All but the thread is for the event loop.

    Args:
        interval: seconds between readings that nobody asked for.
        patience: seconds after which a driver that does not answer is taken for broken.
        on_change: called on the event loop after each reading that was asked for.
        group_of: the process group of a process.
    """

    def __init__(
        self,
        driver: Driver,
        *,
        interval: float,
        patience: float,
        on_change: Callable[[], None],
        group_of: Callable[[int], int] = process_group,
    ) -> None:
        self._driver = driver
        self._interval = interval
        self._patience = patience
        self._on_change = on_change
        self._group_of = group_of
        self._loop = asyncio.get_running_loop()
        self._replicas: tuple[ReplicaReport, ...] = ()
        self._asked = threading.Event()
        self._closed = False
        self._began: float | None = None
        self._reading = Reading()
        self.first = asyncio.Event()
        """Set with the first reading."""
        # A daemon: the process can leave while a driver hangs.
        threading.Thread(target=self._run, name=f"{driver.maker} driver", daemon=True).start()

    def reading(self) -> Reading:
        """What is known now."""
        began = self._began
        if began is None or monotonic() - began < self._patience:
            return self._reading
        return Reading(
            problem=f"{self._driver.maker}'s driver has not answered for {self._patience:g} s, so "
            "its devices are not used. Restart the machine if it does not come back."
        )

    def ask(self, replicas: tuple[ReplicaReport, ...]) -> None:
        """Read again soon: these replicas are there now."""
        self._replicas = replicas
        self._asked.set()

    def close(self) -> None:
        """End the thread, as soon as the driver answers."""
        self._closed = True
        self._asked.set()

    def _run(self) -> None:
        while not self._closed:
            asked = self._asked.is_set()
            self._asked.clear()
            replicas = self._replicas
            self._began = monotonic()
            devices, problem = self._driver.read()
            self._reading = Reading(attribute(devices, replicas, self._group_of), problem)
            self._began = None
            try:
                self._loop.call_soon_threadsafe(self._read, asked)
            except RuntimeError:
                return  # the loop has ended, and with it the worker
            self._asked.wait(self._interval)

    def _read(self, asked: bool) -> None:
        if self._closed:
            return
        news = asked or not self.first.is_set()
        self.first.set()
        if news:
            self._on_change()
