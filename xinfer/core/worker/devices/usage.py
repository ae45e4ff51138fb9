"""What the node has and how much of it is in use."""

from __future__ import annotations

import psutil

from xinfer import system
from xinfer.core.worker.devices.memory import main_memory
from xinfer.types.cluster import NodeUsage


def measure() -> NodeUsage:
    """Processor use since the last call (0 on the first), and memory now. Takes microseconds."""
    memory = main_memory()
    return NodeUsage(
        cpu_count=system.usable_cores(),
        cpu_usage=psutil.cpu_percent() / 100,
        memory_total=memory.total,
        memory_available=memory.available,
        memory_used=memory.used,
    )
