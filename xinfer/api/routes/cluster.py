"""The cluster: what clients ask for before anything else, what it has, and what happened lately."""

import time
from typing import Any

from fastapi import APIRouter, Request

from xinfer import __version__
from xinfer.api.render import nodes as render
from xinfer.api.render.events import cluster_event
from xinfer.api.routes.loads import require_nodes
from xinfer.api.routes.workers import supervisor_address
from xinfer.api.schemas.answers import ClusterEvent
from xinfer.api.services import services
from xinfer.types.cluster import NodeUsage
from xinfer.types.control import ReadEvents

router = APIRouter(tags=["cluster"])


@router.get("/v1/cluster/auth")
async def is_auth_on(request: Request) -> dict[str, bool]:
    """Whether this server wants a key; every client asks this first."""
    return {"auth": bool(services(request).settings.api_key)}


@router.get("/v1/cluster/version")
async def get_version() -> dict[str, str | None]:
    """The version; null stands for a revision that nobody has noted."""
    return {"version": __version__, "full-revisionid": None}


@router.get("/v1/cluster/info")
async def get_info(request: Request, detailed: bool = False) -> list[dict[str, Any]]:
    """The machines: the supervisor's, then each worker's with its accelerators; `detailed` with
    what is in use. Bytes, percent, and processor cores."""
    nodes = await require_nodes(services(request))
    usage = _own_usage() if detailed else None
    return [
        render.supervisor_info(supervisor_address(request), usage),
        *(render.worker_info(node, detailed=detailed) for node in nodes),
    ]


@router.get("/v1/cluster/devices")
async def count_devices(request: Request) -> int:
    """The most accelerators that one worker has."""
    nodes = await require_nodes(services(request))
    return max((len(render.accelerators(node)) for node in nodes), default=0)


@router.get("/v1/cluster/events", response_model=list[ClusterEvent])
async def list_events(request: Request) -> list[dict[str, Any]]:
    """What happened lately to models and workers, the oldest first."""
    events = await services(request).control.call(ReadEvents())
    return [cluster_event(event) for event in events]


@router.get("/status")
async def get_status(request: Request) -> dict[str, Any]:
    """Uptime and the workers; their addresses only for those who may call everything else."""
    here = services(request)
    nodes = await require_nodes(here)
    now = time.time()
    snapshot = here.table.snapshot
    known = request.scope["state"]["authenticated"]
    return {
        "uptime": int(now - snapshot.started) if snapshot else 0,
        "workers": {
            node.address if known else f"worker-{number}": render.status(
                node,
                now,
                interval=here.settings.heartbeat_interval,
                timeout=here.settings.heartbeat_timeout,
            )
            for number, node in enumerate(nodes)
        },
    }


def _own_usage() -> NodeUsage:
    """Of this machine, which is the supervisor's."""
    # What it needs is not worth its memory in a process that is never asked.
    from xinfer.core.worker.devices.usage import measure

    return measure()
