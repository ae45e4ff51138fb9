"""Routes that draw pictures, and the pictures that they tell the URLs of."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response

from xinfer.api.fetch import Fetcher, Reference
from xinfer.api.forms import FormFile, FormRoute
from xinfer.api.image_store import ImageStore
from xinfer.api.lifetime import cancel, within
from xinfer.api.media import read_references
from xinfer.api.render.images import FILES, Entry, Gallery, PictureEvents, PictureKeeper
from xinfer.api.requests import JsonRoute
from xinfer.api.routes.encoding import TRUNCATED_HEADER, require_type
from xinfer.api.routes.generation import Call, begin_call
from xinfer.api.schemas.answers import IMAGE_ANSWER, IMAGE_STREAM_ANSWER
from xinfer.api.schemas.images import (
    EditsBody,
    GenerationsBody,
    Given,
    ImageBody,
    InpaintingBody,
    VariationsBody,
)
from xinfer.api.services import Services, services
from xinfer.api.spool import Spool, SpooledAnswer, Stretch
from xinfer.api.sse import EventStream
from xinfer.core.gateway import Work, WorkStream
from xinfer.errors import EngineFailed, InvalidRequest, NotFound
from xinfer.types.event import Finished, Usage
from xinfer.types.product import Picture, Preview
from xinfer.types.request import ImageRequest, Media

router = APIRouter(route_class=FormRoute, tags=["inference"])
files = APIRouter(route_class=JsonRoute, tags=["inference"])

_Form = Body(media_type="multipart/form-data")
_SCHEMES = ("data:", "http:", "https:")


@router.post("/v1/images/generations", responses=IMAGE_STREAM_ANSWER, response_class=Response)
async def create_images(request: Request, body: GenerationsBody) -> Response:
    """Draw what a text says; as server-sent events with `stream`."""
    return await _draw(request, body, "text2image", "image_generation")


@router.post("/v1/images/edits", responses=IMAGE_STREAM_ANSWER, response_class=Response)
async def edit_images(request: Request, body: Annotated[EditsBody, _Form]) -> Response:
    """Draw after given pictures, or, with a mask, a part of one anew; as events with `stream`."""
    task = "inpainting" if body.mask else "image2image"
    return await _draw(request, body, task, "image_edit")


@router.post("/v1/images/variations", responses=IMAGE_ANSWER, response_class=Response)
async def vary_images(request: Request, body: Annotated[VariationsBody, _Form]) -> Response:
    """Draw after given pictures."""
    return await _draw(request, body, "image2image")


@router.post("/v1/images/inpainting", responses=IMAGE_ANSWER, response_class=Response)
async def inpaint_images(request: Request, body: Annotated[InpaintingBody, _Form]) -> Response:
    """Draw a part of a picture anew."""
    return await _draw(request, body, "inpainting")


@files.get(FILES + "{name}", response_class=Response)
async def read_image(request: Request, name: str) -> Response:
    """A picture that was drawn. Its name is all that is needed to have it."""
    store = ImageStore(services(request).settings)
    spool = await asyncio.to_thread(lambda: Spool(store.open(name)))
    headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
    whole = Stretch(0, spool.size)
    return SpooledAnswer(spool, [whole], media_type="image/png", headers=headers)


async def _draw(
    request: Request, body: ImageBody, task: str, events: str | None = None
) -> Response:
    """
    Args:
        events: what those of a stream are called, where the route has one.
    """
    here = services(request)
    if body.model is None:
        body.model = _running(here, task)
    require_type(request, body.model, "image")
    call = begin_call(request, body, task, stream=bool(body.stream))
    if body.stream and events is not None:
        return await _draw_streamed(request, call, body, task, PictureEvents(events, call.created))
    gallery = Gallery(None if body.response_format == "b64_json" else ImageStore(here.settings))
    try:
        drawing = _drawn(call, body, task, gallery)
        entries = await within(request.receive, here.drain, drawing)
        await asyncio.to_thread(gallery.discard, entries)
    except BaseException:
        await asyncio.to_thread(gallery.close)
        raise
    reached = str(request.base_url).rstrip("/") + here.settings.prefix
    base = here.settings.public_url.rstrip("/") or reached
    return gallery.answer(entries, call.created, base, call.headers)


async def _drawn(call: Call, body: ImageBody, task: str, gallery: Gallery) -> list[Entry]:
    """The pictures of all prompts, in order."""
    here = call.services
    task, media = await _media(call, body, task)
    work = [
        here.gateway.work_whole(call.uid, one, gallery.keeper, request_id=call.request_id)
        for one in body.requests(task, media)
    ]
    entries: list[Entry] = []
    usage, waited, cut = Usage(), 0.0, 0
    for made in await _all(work):
        entries += made.keeper.entries
        cut += any(entry.prompt_cut for entry in made.keeper.entries)
        usage = Usage(usage.prompt_tokens + made.usage.prompt_tokens)
        waited = max(waited, made.waited)
    call.record.finish("stop", usage, waited)
    if cut:
        call.headers[TRUNCATED_HEADER] = str(cut)
    return entries


async def _draw_streamed(
    request: Request, call: Call, body: ImageBody, task: str, events: PictureEvents
) -> Response:
    here = call.services
    task, media = await within(request.receive, here.drain, _media(call, body, task))
    [work] = body.requests(task, media)
    frames = _frames(call, work, events)
    return EventStream(frames, here.drain, here.settings.sse_ping_interval, call.headers)


@asynccontextmanager
async def _frames(
    call: Call, work: ImageRequest, events: PictureEvents
) -> AsyncIterator[AsyncIterator[bytes]]:
    stream = await call.services.gateway.work(call.uid, work, request_id=call.request_id)
    async with stream:
        yield _events_of(call, stream, work.n, events)


async def _events_of(
    call: Call, stream: WorkStream, count: int, events: PictureEvents
) -> AsyncIterator[bytes]:
    """Each picture as soon as it is there, but for the last one, which tells the usage of all."""
    last: Picture | None = None
    async for batch in stream:
        for one in batch:
            if isinstance(one, Preview):
                call.record.tick()
                yield await asyncio.to_thread(events.preview, one)
            elif isinstance(one, Picture) and one.index < count - 1:
                call.record.tick()
                yield await asyncio.to_thread(events.completed, one, Usage())
            elif isinstance(one, Picture):
                last = one
            elif isinstance(one, Finished):
                call.record.finish("stop", one.usage, stream.waited)
                if last is None:
                    raise EngineFailed("The model's answer ended without its last picture.")
                yield await asyncio.to_thread(events.completed, last, one.usage)


async def _media(
    call: Call, body: ImageBody, task: str
) -> tuple[str, dict[str, tuple[Media, ...]]]:
    """The task as the model has it, and what is given for it."""
    here = call.services
    task, given = _by_controlnets(here, call.uid, task, body.take_given())
    return task, await _read(given, here.fetcher)


async def _all(
    work: Sequence[Coroutine[Any, Any, Work[PictureKeeper]]],
) -> list[Work[PictureKeeper]]:
    """The results of all; the others are cancelled when one fails."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        await cancel(*tasks)


def _running(here: Services, task: str) -> str:
    """The model that is meant where a request names none.

    Raises:
        NotFound: none that runs does this.
    """
    snapshot = here.table.snapshot
    for uid, status in (snapshot.deployments if snapshot is not None else {}).items():
        loaded = status.loaded
        if (
            status.deployment.model.type == "image"
            and loaded is not None
            and task in loaded.abilities.tasks
        ):
            return uid
    raise NotFound(
        f"The request names no model, and none that does {task} is running. Launch one, and give "
        "its uid as `model`.",
        code="model_not_found",
        param="model",
    )


def _by_controlnets(
    here: Services, uid: str, task: str, given: dict[str, list[Given]]
) -> tuple[str, dict[str, list[Given]]]:
    """What is given to a model with ControlNets to draw after is for these, as Xinference has it,
    unless the request has something else for them."""
    loaded = here.table.status(uid).loaded
    if (
        task != "image2image"
        or "control_image" in given
        or loaded is None
        or not loaded.details.get("controlnets")
    ):
        return task, given
    return "text2image", {"control_image": given["image"]}


async def _read(given: dict[str, list[Given]], fetcher: Fetcher) -> dict[str, tuple[Media, ...]]:
    """The bytes of each picture.

    Raises:
        InvalidRequest: one is neither a file, nor a URL that may be fetched, nor base64.
    """
    named = {
        field: [(one, field if len(ones) == 1 else f"{field}[{n}]") for n, one in enumerate(ones)]
        for field, ones in given.items()
    }
    references = [
        Reference(one, where, where.partition("[")[0])
        for ones in named.values()
        for one, where in ones
        if isinstance(one, str) and one.lower().startswith(_SCHEMES)
    ]
    read = iter(await read_references(references, fetcher) if references else ())
    media: dict[str, tuple[Media, ...]] = {}
    for field, ones in named.items():
        found = []
        for one, where in ones:
            if isinstance(one, FormFile):
                data = one.data
            elif one.lower().startswith(_SCHEMES):
                data = next(read)
            else:
                data = await asyncio.to_thread(_from_base64, one, where)
            found.append(Media(data, where))
        media[field] = tuple(found)
    return media


def _from_base64(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(
            f"The picture in {where} is neither a file, nor a URL, nor base64.", param=where
        ) from None
