"""What runs: descriptions, instances, replicas, progress, events, logs."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from xinfer.api.render import deployments as render
from xinfer.api.render.events import model_event
from xinfer.api.requests import JsonRoute
from xinfer.api.routes.loads import replica_loads
from xinfer.api.schemas.answers import ModelEvent
from xinfer.api.services import services
from xinfer.core.gateway.table import not_ready
from xinfer.types.control import ReadEvents, ReadLogs

router = APIRouter(route_class=JsonRoute, tags=["models"])

MAX_LOG_LINES = 10_000


@router.get("/v1/models", response_model=dict[str, Any])
async def list_models(request: Request) -> Response:
    """All models that serve: OpenAI's fields and Xinference's description of each."""
    return Response(services(request).model_list.body(), media_type="application/json")


@router.get("/v1/models/instances")
async def list_instances(
    request: Request, model_name: str | None = None, model_uid: str | None = None
) -> list[dict[str, Any]]:
    """All deployments, also those that are loading or have failed."""
    return [
        render.instance(status)
        for status in services(request).table.deployments()
        if model_name in (None, "", status.deployment.model.name)
        and model_uid in (None, "", status.deployment.uid)
    ]


@router.get("/v1/models/{model_uid}")
async def describe_model(request: Request, model_uid: str) -> dict[str, Any]:
    """One model; 503 with its progress while it loads."""
    status = services(request).table.status(model_uid)
    if status.state not in render.SERVING:
        raise not_ready(status)
    return render.describe(status, model_uid)


@router.get("/v1/models/{model_uid}/replicas")
async def list_replicas(request: Request, model_uid: str) -> list[dict[str, Any]]:
    """The processes that serve a model, with the load of those that answer."""
    here = services(request)
    status = here.table.status(model_uid)
    loads = await replica_loads(here, model_uid)
    return [render.replica(status, one, loads.get(one.replica_id)) for one in status.replicas]


@router.get("/v1/models/{model_uid}/progress")
async def get_progress(request: Request, model_uid: str) -> dict[str, Any]:
    """How far a launch has come."""
    return render.progress(services(request).table.status(model_uid))


@router.get("/v1/models/{model_uid}/events", response_model=list[ModelEvent])
async def list_model_events(request: Request, model_uid: str) -> list[dict[str, Any]]:
    """What happened to a model lately, the oldest first; also after it was terminated."""
    here = services(request)
    events = await here.control.call(ReadEvents(model_uid))
    if not events:
        here.table.status(model_uid)
    return [model_event(event) for event in events]


@router.get("/v1/models/{model_uid}/logs")
async def get_logs(
    request: Request,
    model_uid: str,
    lines: Annotated[int, Query(ge=1, le=MAX_LOG_LINES)] = 200,
) -> dict[str, Any]:
    """The last lines of each replica's output, also after its end."""
    here = services(request)
    here.table.status(model_uid)
    logs = await here.control.call(ReadLogs(model_uid, lines))
    return {
        "replicas": [
            {
                "replica_id": log["ordinal"],
                "replica_model_uid": log["replica_id"],
                "lines": log["lines"],
            }
            for log in logs
        ]
    }
