"""Models that the server is to have whenever it is started."""

from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response

from xinfer.api.render import autostart as render
from xinfer.api.requests import JsonRoute
from xinfer.api.routes.generation import ignored_fields
from xinfer.api.schemas.autostart import AutostartBody
from xinfer.api.services import services
from xinfer.types.control import Declare, ReadDeclarations, Undeclare
from xinfer.types.declaration import Declared

router = APIRouter(route_class=JsonRoute, tags=["management"])


@router.get("/v1/autostart/models")
async def list_autostart(request: Request) -> dict[str, Any]:
    """What is declared, by the server's file and by this API, and what has become of it."""
    return {"models": render.entries(await _read(request), services(request).table.snapshot)}


@router.get("/v1/autostart/models/summary")
async def summarize_autostart(request: Request) -> dict[str, Any]:
    """The uids of what is declared."""
    return render.summary(await _read(request))


@router.post("/v1/autostart/models")
async def declare_model(
    request: Request, response: Response, body: AutostartBody
) -> dict[str, Any]:
    """Launch a model now, where it is not there, and at each start of the server. 409 for one
    that the server's file declares."""
    await services(request).control.call(Declare(body.declaration()))
    response.headers.update(ignored_fields(body))
    return await list_autostart(request)


@router.delete("/v1/autostart/models/{model_uid}")
async def undeclare_model(request: Request, model_uid: str) -> dict[str, Any]:
    """Launch a model no more when the server is started; now it runs on."""
    await services(request).control.call(Undeclare(model_uid))
    return render.summary(await _read(request))


async def _read(request: Request) -> list[Declared]:
    found = await services(request).control.call(ReadDeclarations())
    return msgspec.convert(found, list[Declared])
