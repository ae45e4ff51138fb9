"""POST /v1/audio/transcriptions, /translations and /speech."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, Body, Request, Response
from starlette.types import Scope, Send

from xinfer.api.errors import note_error
from xinfer.api.forms import FormRoute
from xinfer.api.lifetime import within
from xinfer.api.render import audio as render
from xinfer.api.render.speech import SpeechFile, feed
from xinfer.api.routes.generation import Call, begin_call
from xinfer.api.schemas.answers import SOUND_ANSWER, TRANSCRIPT_ANSWER
from xinfer.api.schemas.audio import SpeechBody, TranscriptionBody
from xinfer.api.services import services
from xinfer.api.spool import Spool
from xinfer.api.sse import EventStream
from xinfer.core.gateway import InMemory, WorkStream
from xinfer.errors import InvalidRequest, XinferError
from xinfer.model.audio.encode import PCM_RATE, Encoder, find_format
from xinfer.types.event import Finished
from xinfer.types.product import Segment, Sound
from xinfer.types.request import SpeechRequest, TranscribeRequest

router = APIRouter(route_class=FormRoute, tags=["inference"])

SAMPLE_RATE_HEADER = "X-Sample-Rate"
"""Samples a second of an answer, which pcm has no other way to tell."""

_Form = Body(media_type="multipart/form-data")


@router.post("/v1/audio/transcriptions", responses=TRANSCRIPT_ANSWER, response_class=Response)
async def create_transcription(
    request: Request, body: Annotated[TranscriptionBody, _Form]
) -> Response:
    """Write a recording down in the language that is spoken in it."""
    return await _write_down(request, body, translate=False)


@router.post("/v1/audio/translations", responses=TRANSCRIPT_ANSWER, response_class=Response)
async def create_translation(
    request: Request, body: Annotated[TranscriptionBody, _Form]
) -> Response:
    """Write a recording down in English."""
    return await _write_down(request, body, translate=True)


@router.post("/v1/audio/speech", responses=SOUND_ANSWER, response_class=Response)
async def create_speech(request: Request, body: SpeechBody) -> Response:
    """Speak a text; sentence by sentence with `stream`."""
    call = _begin(request, body, "text2audio", "speech", stream=body.streamed)
    name, form = find_format(body.response_format or "mp3")
    work = body.request()
    if body.streamed:
        return await _speak_streamed(call, body, work, name, form.media_type)
    spool = await asyncio.to_thread(Spool)
    try:
        speaking = _spoken(call, work, lambda: SpeechFile(spool, name, body.sample_rate))
        file = await within(request.receive, call.services.drain, speaking)
    except BaseException:
        await asyncio.to_thread(spool.close)
        raise
    headers = {**call.headers, SAMPLE_RATE_HEADER: str(file.rate)}
    return file.answer(form.media_type, headers)


async def _spoken(
    call: Call, work: SpeechRequest, make_file: Callable[[], SpeechFile]
) -> SpeechFile:
    made = await call.services.gateway.work_whole(
        call.uid, work, make_file, request_id=call.request_id
    )
    await made.keeper.finish()
    call.record.finish("stop", made.usage, made.waited)
    return made.keeper


def _begin(
    request: Request,
    body: TranscriptionBody | SpeechBody,
    ability: str,
    operation: str,
    *,
    stream: bool,
) -> Call:
    """Check what can be checked here, and settle the request's id.

    Raises:
        NotFound: there is no such model.
        InvalidRequest: it does something else, or a parameter is not supported.
    """
    model = services(request).table.status(body.model).deployment.model
    if model.type != "audio" or ability not in model.abilities:
        abilities = ", ".join(model.abilities) or "nothing that it declares"
        raise InvalidRequest(
            f"`model`: {body.model!r} is of type {model.type} and does {abilities}; this route "
            f"needs an audio model that does {ability}.",
            param="model",
        )
    return begin_call(request, body, operation, stream=stream)


async def _write_down(request: Request, body: TranscriptionBody, *, translate: bool) -> Response:
    task = "translate" if translate else "transcribe"
    call = _begin(request, body, "audio2text", task, stream=bool(body.stream))
    work = body.request(translate=translate)
    here = call.services
    if body.stream:
        frames = _transcript_frames(call, work)
        return EventStream(frames, here.drain, here.settings.sse_ping_interval, call.headers)
    made = await within(
        request.receive,
        here.drain,
        here.gateway.work_whole(call.uid, work, InMemory, request_id=call.request_id),
    )
    call.record.finish("stop", made.usage, made.waited)
    heard = render.Transcript(made.keeper.products)
    content, kind = render.transcript(
        heard, body.format, task=task, granularities=body.granularities
    )
    return Response(content, media_type=kind, headers=call.headers)


@asynccontextmanager
async def _transcript_frames(
    call: Call, work: TranscribeRequest
) -> AsyncIterator[AsyncIterator[bytes]]:
    stream = await call.services.gateway.work(call.uid, work, request_id=call.request_id)
    async with stream:
        yield _transcript_events(call, stream)


async def _transcript_events(call: Call, stream: WorkStream) -> AsyncIterator[bytes]:
    events = render.TranscriptEvents()
    async for batch in stream:
        frame = b""
        for one in batch:
            if isinstance(one, Segment):
                call.record.tick()
                frame += events.segment(one)
            elif isinstance(one, Finished):
                call.record.finish("stop", one.usage, stream.waited)
                frame += events.done(one.usage)
        if frame:
            yield frame


async def _speak_streamed(
    call: Call, body: SpeechBody, work: SpeechRequest, name: str, media_type: str
) -> Response:
    here = call.services
    in_events = body.stream_format == "sse"
    frames = _sound_frames(call, work, name, body.sample_rate, in_events=in_events)
    interval = here.settings.sse_ping_interval
    if in_events:
        return EventStream(frames, here.drain, interval, call.headers)
    headers = {**call.headers, "content-type": media_type}
    if name == "pcm":
        headers[SAMPLE_RATE_HEADER] = str(body.sample_rate or PCM_RATE)
    return SoundStream(frames, here.drain, interval, headers, ping=b"")


class SoundStream(EventStream):
    """A stream of sound, in which there is no place for words: one that fails is cut off, so that
    it is not taken for whole."""

    async def _end(self, scope: Scope, send: Send, error: Exception) -> None:
        if not isinstance(error, XinferError):
            raise error
        note_error(scope, error)


@asynccontextmanager
async def _sound_frames(
    call: Call, work: SpeechRequest, name: str, rate: int | None, *, in_events: bool
) -> AsyncIterator[AsyncIterator[bytes]]:
    stream = await call.services.gateway.work(call.uid, work, request_id=call.request_id)
    async with stream:
        file = _file_as_made(call, stream, name, rate)
        yield _as_events(call, file) if in_events else file


async def _as_events(call: Call, file: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for data in file:
        yield render.sound_event(data)
    yield render.sound_done(call.record.usage)


async def _file_as_made(
    call: Call, stream: WorkStream, name: str, rate: int | None
) -> AsyncIterator[bytes]:
    encoder: Encoder | None = None
    async for batch in stream:
        for one in batch:
            data = b""
            if isinstance(one, Sound):
                call.record.tick()
                if encoder is None:  # which imports its library
                    encoder = await asyncio.to_thread(Encoder, name, one.sample_rate, rate)
                data = await asyncio.to_thread(feed, encoder, one)
            elif isinstance(one, Finished):
                if encoder is not None:
                    data = await asyncio.to_thread(encoder.finish)
                call.record.finish("stop", one.usage, stream.waited)
            if data:
                yield data
