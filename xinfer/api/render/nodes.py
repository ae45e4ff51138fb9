"""Workers and their devices in the incumbent's words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xinfer.types.cluster import NodeUsage
from xinfer.types.control import Node
from xinfer.types.device import CPU, Device

_MIB = 1 << 20


def accelerators(node: Node) -> list[Device]:
    """The node's devices but for its processors."""
    return [device for device in node.devices if device.kind != CPU]


def status(node: Node, now: float, *, interval: float, timeout: float) -> dict[str, Any]:
    """One entry of /status; the keys of accelerators are their numbers on the node.

    Args:
        now: Unix seconds.
        interval, timeout: of the workers' reports, in seconds.
    """
    return {
        "update_time": round(now - node.age, 3),
        "failure_remaining_count": max(0, int((timeout - node.age) / interval)),
        "status": {
            "cpu": {
                "usage": node.cpu_usage,
                "total": node.cpu_count,
                "memory_used": node.memory_used,
                "memory_available": node.memory_available,
                "memory_total": node.memory_total,
            },
            **{
                f"gpu-{number}": _accelerator(device)
                for number, device in enumerate(accelerators(node))
            },
        },
        "problems": node.problems,
    }


def _accelerator(device: Device) -> dict[str, Any]:
    used, total = device.memory_used, device.memory_total
    return {
        "device": device.label,
        "name": device.name,
        "mem_total": total,
        "mem_free": device.memory_free,
        "mem_used": used,
        "mem_usage": round(used / total, 4) if total else 0.0,
        "gpu_util": _percent([device]),
        "problem": device.problem,
    }


def supervisor_info(address: str, usage: NodeUsage | None) -> dict[str, Any]:
    """The supervisor's entry of /v1/cluster/info; in detail with `usage`, its machine's."""
    entry: dict[str, Any] = {
        "node_type": "Supervisor",
        "ip_address": address,
        "gpu_count": 0,
        "gpu_vram_total": 0,
    }
    if usage is not None:
        entry |= {"gpu_vram_available": 0, "gpu_utilization": None}
        entry |= _usage(
            usage.cpu_count,
            usage.cpu_usage,
            usage.memory_used,
            usage.memory_available,
            usage.memory_total,
        )
    return entry


def worker_info(node: Node, *, detailed: bool) -> dict[str, Any]:
    """A worker's entry of /v1/cluster/info. Its accelerators' memory is in bytes, or in MiB with
    the unit when not `detailed`."""
    devices = accelerators(node)
    total = sum(device.memory_total for device in devices)
    entry: dict[str, Any] = {
        "node_type": "Worker",
        "ip_address": node.address,
        "gpu_count": len(devices),
        "gpu_vram_total": total if detailed or not devices else f"{total // _MIB}MiB",
    }
    if detailed:
        entry |= {
            "gpu_vram_available": sum(device.memory_free for device in devices),
            "gpu_utilization": _percent(devices),
        }
        entry |= _usage(
            node.cpu_count,
            node.cpu_usage,
            node.memory_used,
            node.memory_available,
            node.memory_total,
        )
    return entry


def _usage(cores: int, usage: float, used: int, available: int, total: int) -> dict[str, Any]:
    return {
        "cpu_available": round(cores * (1 - usage), 2),
        "cpu_count": cores,
        "mem_used": used,
        "mem_available": available,
        "mem_total": total,
    }


def _percent(devices: Sequence[Device]) -> float | None:
    """Mean utilisation, 0 to 100, of those whose drivers tell it; None where none does."""
    told = [device.utilisation for device in devices if device.utilisation is not None]
    return round(100 * sum(told) / len(told), 1) if told else None
