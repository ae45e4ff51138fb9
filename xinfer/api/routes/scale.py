"""Changing how many replicas a model has, and how many requests may wait for it."""

from collections.abc import Collection
from typing import Any

from fastapi import APIRouter, Request, Response

from xinfer.api.lifetime import within
from xinfer.api.render import deployments as render
from xinfer.api.requests import JsonRoute
from xinfer.api.routes.generation import ignored_fields
from xinfer.api.routes.seeing import reaches_all, see
from xinfer.api.schemas.scale import ReplicasBody, ScaleBody
from xinfer.api.services import Services, services
from xinfer.errors import EngineFailed, XinferError
from xinfer.types.control import AddReplicas, RemoveReplica, Scale
from xinfer.types.deployment import DeploymentState, DeploymentStatus, ReplicaStatus, Snapshot

router = APIRouter(route_class=JsonRoute, tags=["management"])


@router.patch("/v1/models/{model_uid}")
async def scale_model(
    request: Request, response: Response, model_uid: str, body: ScaleBody
) -> dict[str, Any]:
    """Change a model that runs; the answer is its instance, before replicas have started or
    left. The replicas with the highest numbers leave first, after their running requests."""
    body.check_supported()
    body.check_changes()
    here = services(request)
    here.table.status(model_uid)
    await here.control.call(Scale(model_uid, body.replica, body.max_queue, body.request_limits))

    def scaled(status: DeploymentStatus) -> bool:
        now = status.deployment
        return (
            body.replica in (None, now.replicas)
            and body.max_queue in (None, now.max_queue)
            and body.request_limits in (None, now.request_limits or 0)
        )

    await _see_of(here, model_uid, scaled)
    await reaches_all(here)
    response.headers.update(ignored_fields(body))
    return render.instance(here.table.status(model_uid))


@router.post("/v1/models/{model_uid}/replicas")
async def add_replicas(
    request: Request,
    response: Response,
    model_uid: str,
    body: ReplicasBody | None = None,
    wait_ready: bool = True,
) -> dict[str, Any]:
    """Add replicas, one if nothing else is said. With `wait_ready` the answer comes when they are
    ready, or with the reason why they will not be. It is the new replica, or several in
    `replicas`."""
    body = body or ReplicasBody.model_validate({})
    body.check_supported()
    places = body.places()
    count = max(body.replica, len(places))
    here = services(request)
    here.table.status(model_uid)
    ordinals: list[int] = await here.control.call(AddReplicas(model_uid, count, places))

    def placed(status: DeploymentStatus) -> bool:
        new = _new(status, ordinals)
        return len(new) == count and all(each.worker for each in new)

    await _see_of(here, model_uid, placed)
    if wait_ready:
        await within(request.receive, here.drain, _become_ready(here, model_uid, ordinals))
    await reaches_all(here)
    response.headers.update(ignored_fields(body))
    added = [_told(each) for each in _new(here.table.status(model_uid), ordinals)]
    return added[0] if count == 1 and added else {"replica": len(added), "replicas": added}


@router.delete("/v1/models/{model_uid}/replicas/{replica_id}")
async def remove_replica(request: Request, model_uid: str, replica_id: int) -> dict[str, int]:
    """End one replica, after its running requests; the others keep their numbers. Without any
    left, the model is terminated."""
    here = services(request)
    here.table.status(model_uid)
    remaining: int = await here.control.call(RemoveReplica(model_uid, replica_id))

    def removed(status: DeploymentStatus) -> bool:
        return replica_id not in status.deployment.ordinals

    await _see_of(here, model_uid, removed)
    await reaches_all(here)
    return {"remaining_replicas": remaining}


async def _see_of(here: Services, uid: str, shows: Any) -> None:
    """Wait until the model's status shows it, or the model has gone."""

    def seen(snapshot: Snapshot) -> bool | None:
        status = snapshot.deployments.get(uid)
        return status is None or status.state is DeploymentState.DRAINING or shows(status) or None

    await see(here, seen)


async def _become_ready(here: Services, uid: str, ordinals: Collection[int]) -> None:
    """Return when all of these are ready, or were removed again.

    Raises:
        XinferError: one failed for good.
    """

    def outcome(snapshot: Snapshot) -> XinferError | bool | None:
        status = snapshot.deployments.get(uid)
        if status is None or status.state is DeploymentState.DRAINING:
            return True
        new = _new(status, ordinals)
        for each in new:
            if each.state is DeploymentState.ERROR:
                reason = f"Replica {each.ordinal} of model {uid!r} failed to start."
                return each.failure.error() if each.failure else EngineFailed(reason)
        return all(each.state is DeploymentState.READY for each in new) or None

    result = await here.table.wait_for(outcome, None)
    if isinstance(result, XinferError):
        raise result


def _new(status: DeploymentStatus, ordinals: Collection[int]) -> list[ReplicaStatus]:
    return [each for each in status.replicas if each.ordinal in ordinals]


def _told(one: ReplicaStatus) -> dict[str, Any]:
    return {
        "replica_id": one.ordinal,
        "replica_model_uid": one.replica_id,
        "worker_address": one.worker,
    }
