"""The cluster: what clients ask for before anything else, and what happened lately."""

import time
from typing import Any

from fastapi import APIRouter, Request

from xinfer.api.render.events import cluster_event
from xinfer.api.schemas.answers import ClusterEvent
from xinfer.api.services import Services, services
from xinfer.types.control import ReadEvents, ReadNodes
from xinfer.types.device import CPU

router = APIRouter(tags=["cluster"])


@router.get("/v1/cluster/auth")
async def is_auth_on(request: Request) -> dict[str, bool]:
    """Whether this server wants a key; every client asks this first."""
    return {"auth": bool(services(request).settings.api_key)}


@router.get("/v1/cluster/events", response_model=list[ClusterEvent])
async def list_events(request: Request) -> list[dict[str, Any]]:
    """What happened lately to models and workers, the oldest first."""
    events = await services(request).control.call(ReadEvents())
    return [cluster_event(event) for event in events]


@router.get("/status")
async def get_status(request: Request) -> dict[str, Any]:
    """Uptime and the workers; their addresses only for those who may call everything else."""
    here = services(request)
    nodes = await here.control.call(ReadNodes())
    now = time.time()
    snapshot = here.table.snapshot
    known = request.scope["state"]["authenticated"]
    return {
        "uptime": int(now - snapshot.started) if snapshot else 0,
        "workers": {
            node["address"] if known else f"worker-{number}": _worker(here, node, now)
            for number, node in enumerate(nodes)
        },
    }


def _worker(here: Services, node: dict[str, Any], now: float) -> dict[str, Any]:
    settings = here.settings
    left = (settings.heartbeat_timeout - node["age"]) / settings.heartbeat_interval
    return {
        "update_time": round(now - node["age"], 3),
        "failure_remaining_count": max(0, int(left)),
        "status": {
            "cpu": {
                "usage": node["cpu_usage"],
                "total": node["cpu_count"],
                "memory_used": node["memory_used"],
                "memory_available": node["memory_available"],
                "memory_total": node["memory_total"],
            },
            **{
                f"gpu-{number}": _accelerator(device)
                for number, device in enumerate(node["devices"])
                if device["kind"] != CPU
            },
        },
        "problems": node["problems"],
    }


def _accelerator(device: dict[str, Any]) -> dict[str, Any]:
    return {
        "device": f"{device['kind']}:{device['index']}",
        "name": device["name"],
        "mem_total": device.get("memory_total", 0),
        "mem_free": device.get("memory_free", 0),
        "mem_used": device.get("memory_used", 0),
        "gpu_util": device.get("utilisation"),
        "problem": device.get("problem", ""),
    }
