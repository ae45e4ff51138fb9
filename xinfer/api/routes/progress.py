"""GET /v1/requests/{request_id}/progress, of requests that are worked on in steps."""

from fastapi import APIRouter, Request

from xinfer.api.request_id import clean
from xinfer.api.requests import JsonRoute
from xinfer.api.services import services
from xinfer.errors import NotFound

router = APIRouter(route_class=JsonRoute, tags=["inference"])


@router.get("/v1/requests/{request_id}/progress")
async def request_progress(request: Request, request_id: str) -> dict[str, float]:
    """How much of a request is done, from 0 to 1, whichever process it came by; for a while after
    its end, too."""
    found = await services(request).gateway.progress(clean(request_id))
    if found is None:
        raise NotFound(
            f"No request {clean(request_id)!r} is being worked on. Send it with this id in "
            "`request_id` or in the header X-Request-Id; only models for images and audio tell.",
            code="request_not_found",
            param="request_id",
        )
    return {"progress": found}
