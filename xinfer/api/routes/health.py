"""Health, of which nothing leaves the process, and metrics."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from xinfer.api.cluster_metrics import ClusterCollector
from xinfer.api.lifetime import draining
from xinfer.api.metrics import CONTENT_TYPE
from xinfer.api.routes.loads import read_nodes, replica_loads
from xinfer.api.services import services
from xinfer.errors import Unavailable, XinferError

router = APIRouter(tags=["health"])


@router.get("/livez")
async def is_alive() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def is_ready(request: Request, model: str | None = None) -> dict[str, Any]:
    """New work is taken and the control plane is there; with `model`, that model is ready too."""
    here = services(request)
    if here.draining:
        raise draining()
    if not here.table.connected:
        raise Unavailable(
            "The control plane is away; running models go on serving.",
            code="control_unavailable",
            retry_after=1.0,
        )
    if model is not None:
        try:
            here.table.require_ready(model)
        except XinferError as error:
            if request.scope["state"]["authenticated"]:
                raise
            # Names of models and lines of their logs are not for everybody.
            raise type(error)(
                f"Model {model[:100]!r} is not ready.",
                code=error.code,
                retry_after=error.retry_after,
            ) from None
    return {"status": "ok"}


router.add_api_route("/health", is_ready, methods=["GET"])
# Load balancers and uptime checks ask so.
router.add_api_route("/livez", is_alive, methods=["HEAD"], include_in_schema=False)
router.add_api_route("/readyz", is_ready, methods=["HEAD"], include_in_schema=False)
router.add_api_route("/health", is_ready, methods=["HEAD"], include_in_schema=False)


@router.get("/metrics", response_class=Response)
async def get_metrics(request: Request) -> Response:
    """Prometheus metrics of all API processes of this node, of the workers and the engines."""
    here = services(request)
    uids = [status.deployment.uid for status in here.table.deployments()]
    nodes, engines = await asyncio.gather(
        read_nodes(here), asyncio.gather(*(replica_loads(here, uid) for uid in uids))
    )
    cluster = ClusterCollector(here.table, dict(zip(uids, engines, strict=True)), nodes)
    return Response(here.metrics.render(cluster), media_type=CONTENT_TYPE)
