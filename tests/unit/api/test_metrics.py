"""Metrics of several API processes in one directory."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from xinfer.api.metrics import Metrics
from xinfer.core.gateway import RoutingTable


def test_gauges_of_dead_processes_are_forgotten_and_counters_kept(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kept = [f"gauge_livesum_{os.getpid()}.db", f"counter_{ended.pid}.db"]
    for name in (f"gauge_livesum_{ended.pid}.db", *kept):
        (tmp_path / name).write_bytes(bytes(8))  # no values
    Metrics(RoutingTable(), str(tmp_path)).render({})
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(kept)
