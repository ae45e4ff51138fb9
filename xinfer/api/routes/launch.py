"""Changing what runs: launch, terminate, cancel a launch, abort a request."""

import asyncio
import contextlib
import math
from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from xinfer.api.catalogue import cache_status
from xinfer.api.lifetime import within
from xinfer.api.render.deployments import preview
from xinfer.api.request_id import clean
from xinfer.api.requests import JsonRoute
from xinfer.api.routes.generation import ignored_fields
from xinfer.api.routes.seeing import reaches_all, see
from xinfer.api.schemas.answers import AbortAnswer, LaunchAnswer, PreviewAnswer
from xinfer.api.schemas.launch import AbortBody, LaunchBody
from xinfer.api.services import Services, services
from xinfer.errors import Cancelled, EngineFailed, Unavailable, XinferError
from xinfer.types.control import (
    AwaitSeen,
    CancelLaunch,
    Launch,
    LaunchPreview,
    Preview,
    Terminate,
)
from xinfer.types.deployment import Deployment, DeploymentState, DeploymentStatus, Snapshot

router = APIRouter(route_class=JsonRoute, tags=["management"])


@router.post("/v1/models", response_model=LaunchAnswer)
async def launch_model(
    request: Request, body: LaunchBody, wait_ready: bool = True
) -> dict[str, str]:
    """Launch a model. With `wait_ready` the answer comes when all its replicas are ready, or with
    the reason why they will not be; a client that leaves meanwhile does not stop the launch."""
    body.check_supported()
    here = services(request)
    known = _generations(here.table.snapshot, only_failed=body.exist_ok)
    uid: str = await here.control.call(Launch(body.spec(), body.exist_ok))
    launched = await _appears(here, uid, known.get(uid, -1))
    if wait_ready:
        await within(request.receive, here.drain, _becomes_ready(here, launched))
    await reaches_all(here)
    return {
        "model_uid": uid,
        "model_engine": launched.engine,
        "engine_reason": launched.engine_reason,
    }


@router.post("/v1/models/preview", response_model=PreviewAnswer)
async def preview_launch(request: Request, body: LaunchBody) -> dict[str, Any]:
    """What a launch would run, on which engine, and what a replica is expected to take; nothing
    is started. It is refused as the launch would be, but for want of room, which is `lack`."""
    body.check_supported()
    here = services(request)
    found = msgspec.convert(await here.control.call(Preview(body.spec())), LaunchPreview)
    cached = await asyncio.to_thread(lambda: cache_status(here.settings)(found.model))
    return preview(found, cached)


@router.delete("/v1/models/{model_uid}")
async def terminate_model(request: Request, model_uid: str) -> None:
    """Stop a model; its running requests may finish."""
    here = services(request)
    known = _generations(here.table.snapshot)
    await here.control.call(Terminate(model_uid))

    def gone(snapshot: Snapshot) -> bool | None:
        status = snapshot.deployments.get(model_uid)
        if status is None or status.state is DeploymentState.DRAINING:
            return True
        return status.deployment.generation > known.get(model_uid, -1) or None

    await see(here, gone)
    await reaches_all(here)


@router.post("/v1/models/{model_uid}/cancel")
async def cancel_launch(request: Request, model_uid: str) -> None:
    """Give up a launch that is not ready yet."""
    await services(request).control.call(CancelLaunch(model_uid))


@router.post(
    "/v1/models/{model_uid}/requests/{request_id}/abort",
    response_model=AbortAnswer,
)
async def abort_request(
    request: Request,
    response: Response,
    model_uid: str,
    request_id: str,
    body: AbortBody | None = None,
) -> dict[str, str]:
    """End a running request by its id, whichever server process it came by."""
    here = services(request)
    here.table.status(model_uid)
    found = await here.gateway.abort(model_uid, clean(request_id))
    if body is not None:
        response.headers.update(ignored_fields(body))
    return {"msg": "DONE" if found else "NOT_FOUND"}


def _generations(snapshot: Snapshot | None, *, only_failed: bool = False) -> Mapping[str, int]:
    if snapshot is None:
        return {}
    return {
        uid: status.deployment.generation
        for uid, status in snapshot.deployments.items()
        if not only_failed or status.state is DeploymentState.ERROR
    }


async def _appears(here: Services, uid: str, after: int) -> Deployment:
    """A launch that was committed, later than generation `after`, once this process knows of it.

    Raises:
        Cancelled: it was terminated before this process could see it.
    """
    newest = math.inf

    def launched(snapshot: Snapshot) -> Deployment | bool | None:
        status = snapshot.deployments.get(uid)
        if status is not None and status.deployment.generation > after:
            return status.deployment
        return False if snapshot.version >= newest else None

    if here.table.snapshot is None or launched(here.table.snapshot) is None:
        with contextlib.suppress(Unavailable):
            newest = await here.control.call(AwaitSeen())
    found = await see(here, launched)
    if not isinstance(found, Deployment):
        raise _terminated(uid)
    return found


async def _becomes_ready(here: Services, launched: Deployment) -> None:
    """Return when every replica is ready.

    Raises:
        Cancelled: it was terminated meanwhile.
        XinferError: it failed for good; the reason, with the last log lines in the details.
    """

    uid = launched.uid

    def outcome(snapshot: Snapshot) -> XinferError | bool | None:
        status = snapshot.deployments.get(uid)
        if status is None or status.deployment.generation != launched.generation:
            return _terminated(uid)
        return _outcome(status)

    result = await here.table.wait_for(outcome, None)
    if isinstance(result, XinferError):
        raise result


def _outcome(status: DeploymentStatus) -> XinferError | bool | None:
    uid = status.deployment.uid
    if status.state in (DeploymentState.DRAINING, DeploymentState.TERMINATED):
        return _terminated(uid)
    failed = [one for one in status.replicas if one.state is DeploymentState.ERROR]
    if failed or status.state is DeploymentState.ERROR:
        failure = next((one.failure for one in failed if one.failure), status.failure)
        return failure.error() if failure else EngineFailed(f"Model {uid!r} failed to start.")
    ready = sum(one.state is DeploymentState.READY for one in status.replicas)
    return True if ready >= status.deployment.replicas else None


def _terminated(uid: str) -> Cancelled:
    return Cancelled(f"Model {uid!r} was terminated while it was being launched.")
