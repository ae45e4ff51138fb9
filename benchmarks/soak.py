"""R11: a server's memory after many requests for vectors."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.encoder import Shape, text, write
from benchmarks.harness import CannotMeasure, Server, load, running_server
from benchmarks.plan import Requests, Target
from benchmarks.report import Figure, Row
from benchmarks.settings import Settings

_SMALL = Shape(width=64, layers=1, feed_forward=128, heads=2)
"""The server is what is measured, not the model."""
_CLIENTS = 32
_FIRST, _ALL = 5_000, 100_000
_PART = 2_500
"""Requests of one client process: their latencies fit into a pipe."""
_GOAL = 1.02
_MIB = 1 << 20


def measure(settings: Settings) -> Figure:
    """PSS of all processes after 100,000 requests for the vector of one text, beside that after
    the first 5,000.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly, or PSS is not told here.
    """
    ratios: list[float] = []
    first: list[float] = []
    rates: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "small.gguf", "embedding", _SMALL)
        for _ in range(settings.repeats or 1):
            with running_server() as server:
                server.wait_until_whole()
                server.launch(str(path), "llama.cpp", model_type="embedding", model_uid="small")
                seconds = _ask(server, _FIRST)
                first.append(_memory(server))
                seconds += _ask(server, _ALL - _FIRST)
                ratios.append(_memory(server) / first[-1])
                rates.append(_ALL / seconds)
    rows = [
        Row(f"memory after {_ALL:,} requests / after {_FIRST:,}", "×", ratios, _GOAL),
        Row(f"memory after {_FIRST:,}", "MiB", first),
        Row("requests", "/s", rates),
    ]
    return Figure("R11", "Memory over many requests", rows)


def _ask(server: Server, count: int) -> float:
    """Seconds that so many requests took, a part after the other."""
    return sum(_ask_part(server) for _ in range(count // _PART))


def _ask_part(server: Server) -> float:
    target = Target(port=server.port, path="/v1/embeddings", connections=_CLIENTS, watch={})
    body = json.dumps({"model": "small", "input": text(5, 1)}).encode()
    outcome = load(Requests(target=target, body=body, warmup=1, count=_PART - 1))
    return outcome.seconds


def _memory(server: Server) -> float:
    """MiB of all processes, what they share divided among them."""
    total = 0
    for process in server.processes().values():
        taken = process.memory_full_info()
        if not hasattr(taken, "pss"):
            raise CannotMeasure("This system does not tell a process's PSS; Linux does.")
        total += taken.pss
    return total / _MIB
