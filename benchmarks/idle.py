"""R12: what a server without a model takes: time to start, and memory."""

from __future__ import annotations

from collections import defaultdict

from benchmarks.harness import CannotMeasure, running_server
from benchmarks.report import Figure, Row
from benchmarks.settings import Settings

_REPEATS = 5
_MEMORY_GOAL = 200.0
_START_GOAL = 2.0
_MIB = 1 << 20


def measure(settings: Settings) -> Figure:
    """From the command to the first answer of /v1/models; then each process's share of memory
    (PSS: what it shares with others is divided among them).

    Raises:
        CannotMeasure: a server did not start, or this system does not tell PSS.
    """
    seconds: list[float] = []
    memory: defaultdict[str, list[float]] = defaultdict(list)
    private: list[float] = []
    for _ in range(settings.repeats or _REPEATS):
        with running_server() as server:
            server.wait_until_whole()
            seconds.append(server.seconds_to_answer)
            private.append(0.0)
            for role, process in server.processes().items():
                taken = process.memory_full_info()
                if not hasattr(taken, "pss"):
                    raise CannotMeasure("This system does not tell a process's PSS; Linux does.")
                memory[role].append(taken.pss / _MIB)
                private[-1] += taken.uss / _MIB
    total = [sum(start) for start in zip(*memory.values(), strict=True)]
    rows = [
        Row("command to answer", "s", seconds, _START_GOAL),
        Row("memory of all processes", "MiB", total, _MEMORY_GOAL),
        Row("of it private to one of them", "MiB", private),
        *(Row(f"memory of {role}", "MiB", values) for role, values in memory.items()),
    ]
    return Figure("R12", "A server without a model", rows)
