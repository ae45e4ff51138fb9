"""Main memory, where a container has less than its machine."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from xinfer.core.worker.devices.memory import main_memory
from xinfer.core.worker.devices.usage import measure

MIB = 1 << 20


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def group(current: int, limit: str, cached: int = 0) -> dict[str, str]:
    return {
        "memory.max": f"{limit}\n",
        "memory.current": f"{current}\n",
        "memory.stat": f"anon 5\nactive_file {cached}\ninactive_file {cached}\n",
    }


def test_without_limits_it_is_the_machines(tmp_path: Path) -> None:
    memory = main_memory(tmp_path)
    assert memory.total == psutil.virtual_memory().total
    assert 0 < memory.available < memory.total
    assert memory.used == memory.total - memory.available


@pytest.mark.parametrize("path", ["/", "/pod/box", "/../elsewhere"])
def test_a_containers_limit_counts_and_its_file_cache_is_available(
    tmp_path: Path, path: str
) -> None:
    inside = group(40 * MIB, str(64 * MIB), cached=8 * MIB)
    write(tmp_path, {"proc/self/cgroup": f"0::{path}\n"})
    write(tmp_path / "sys/fs/cgroup", inside)
    memory = main_memory(tmp_path)
    assert (memory.total, memory.available) == (64 * MIB, 40 * MIB)


def test_the_tightest_of_nested_groups_holds(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "0::/pod/box\n"})
    mount = tmp_path / "sys/fs/cgroup"
    write(mount / "pod/box", group(1 * MIB, "max"))
    write(mount / "pod", group(30 * MIB, str(32 * MIB)))
    write(mount, group(50 * MIB, str(128 * MIB)))
    memory = main_memory(tmp_path)
    assert (memory.total, memory.available) == (32 * MIB, 2 * MIB)


def test_groups_of_the_first_version_count_too(tmp_path: Path) -> None:
    write(tmp_path, {"proc/self/cgroup": "3:cpuset:/\n4:cpu,memory:/box\n"})
    files = {
        "memory.limit_in_bytes": str(16 * MIB),
        "memory.usage_in_bytes": str(10 * MIB),
        "memory.stat": f"active_file 1\ntotal_active_file {4 * MIB}\ntotal_inactive_file 0\n",
    }
    write(tmp_path / "sys/fs/cgroup/memory/box", files)
    memory = main_memory(tmp_path)
    assert (memory.total, memory.available) == (16 * MIB, 10 * MIB)


def test_the_usage_that_is_reported_is_of_the_same_memory() -> None:
    usage = measure()
    assert usage.memory_total == usage.memory_used + usage.memory_available
    assert usage.cpu_count >= 1
