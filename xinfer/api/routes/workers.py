"""The machines of a cluster: where the supervisor is, who works, draining one, stopping all."""

import ipaddress
from typing import Any

import msgspec
from fastapi import APIRouter, Request

from xinfer.api.render.deployments import describe
from xinfer.api.routes.loads import require_nodes
from xinfer.api.services import services
from xinfer.types.control import DrainWorker, StopCluster

router = APIRouter(tags=["cluster"])


@router.get("/v1/address")
async def get_address(request: Request) -> str:
    """Where a worker finds the supervisor: host:port, as seen by whoever asks. It lets nobody in
    who does not hold the cluster's token."""
    return supervisor_address(request)


@router.get("/v1/supervisor")
async def get_supervisor(request: Request) -> dict[str, str]:
    """The supervisor's address, in Xinference's shape."""
    return {"supervisor_ip": supervisor_address(request)}


@router.get("/v1/workers")
async def list_workers(request: Request) -> list[dict[str, Any]]:
    """The workers with their labels, and the models of each by the id of its replica."""
    here = services(request)
    nodes = await require_nodes(here)
    models: dict[str, dict[str, Any]] = {node.address: {} for node in nodes}
    for status in here.table.deployments():
        for replica in status.replicas:
            if replica.worker in models:
                own = msgspec.structs.replace(status, replicas=(replica,))
                models[replica.worker][replica.replica_id] = describe(own)
    return [
        {
            "work-ip": node.address,
            "models": models[node.address],
            "state": "LEAVING" if node.leaving else "READY",
            "labels": node.labels,
            "version": node.version,
        }
        for node in nodes
    ]


@router.post("/v1/workers/{address}/drain")
async def drain_worker(request: Request, address: str) -> dict[str, str]:
    """Have a worker leave: its models are started elsewhere, end there once that has been done,
    and then it stops. 409 where no other worker takes models."""
    await services(request).control.call(DrainWorker(address))
    return {"work-ip": address, "state": "LEAVING"}


@router.delete("/v1/clusters")
async def stop_cluster(request: Request) -> dict[str, bool]:
    """End everything, on all machines: running requests may finish."""
    await services(request).control.call(StopCluster())
    return {"result": True}


def supervisor_address(request: Request) -> str:
    """Where it listens; of all addresses, the one that this request came to."""
    address = services(request).supervisor
    host, _, port = address.rpartition(":")
    if host and ipaddress.ip_address(host).is_unspecified:
        return f"{request.url.hostname}:{port}"
    return address
