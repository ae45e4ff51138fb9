"""Apple's GPU, which computes in main memory. Never run on one."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable

from xinfer.core.worker.devices.driver import Reading
from xinfer.core.worker.devices.memory import MainMemory, main_memory
from xinfer.types.device import Device

KIND = "metal"

# By default Metal lets a process use two thirds of main memory, or three quarters of one larger
# than this.
_LARGE = 36 << 30


class AppleDriver:
    """One GPU on every Mac with Apple's own processor.

    Args:
        memory: the node's main memory.
    """

    maker = "Apple"

    def __init__(self, memory: Callable[[], MainMemory] = main_memory) -> None:
        self._memory = memory

    def present(self) -> bool:
        return sys.platform == "darwin" and platform.machine() == "arm64"

    def read(self) -> Reading:
        memory = self._memory()
        total = memory.total * 2 // 3 if memory.total <= _LARGE else memory.total * 3 // 4
        free = max(0, min(memory.available, total - memory.used))
        device = Device(
            kind=KIND,
            index=0,
            name="Apple GPU",
            memory_total=total,
            memory_used=total - free,
            memory_free=free,
            unified=True,
        )
        return Reading((device,))
