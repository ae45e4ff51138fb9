"""Talking to models that write speech down or speak: the calls, and the handles of both clients."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xinfer.client.wire import JSON, Call

if TYPE_CHECKING:
    from xinfer.client.async_client import AsyncClient
    from xinfer.client.sync_client import Client

Transcript = JSON | str
"""An object, or text where that was asked for."""


def _write_down(
    route: str,
    model_uid: str,
    audio: bytes,
    language: str | None,
    prompt: str | None,
    response_format: str,
    temperature: float,
    timestamp_granularities: Sequence[str] | None,
    parameters: Mapping[str, Any],
) -> Call[Transcript]:
    optional = {"language": language, "prompt": prompt}
    form: list[tuple[str, bytes | str]] = [
        ("model", model_uid),
        ("response_format", response_format),
        ("temperature", str(temperature)),
        *((name, value) for name, value in optional.items() if value is not None),
        *(("timestamp_granularities[]", one) for one in timestamp_granularities or ()),
        ("file", audio),
    ]
    if parameters:
        form.append(("kwargs", json.dumps(dict(parameters))))
    doing = "transcribe the audio" if route == "transcriptions" else "translate the audio"
    if response_format in ("json", "verbose_json"):
        return Call(doing, "POST", f"/v1/audio/{route}", form=form, result=dict)
    return Call(doing, "POST", f"/v1/audio/{route}", form=form, result=bytes.decode, raw=True)


def _speak(
    model_uid: str,
    input: str,
    voice: str,
    response_format: str,
    speed: float,
    stream: bool,
    prompts: Mapping[str, bytes | None],
    parameters: Mapping[str, Any],
) -> Call[bytes]:
    fields: dict[str, Any] = {
        "model": model_uid,
        "input": input,
        "voice": voice,
        "response_format": response_format,
        "speed": speed,
        "stream": stream,
    }
    files = [(name, data) for name, data in prompts.items() if data is not None]
    doing, path = "speak the text", "/v1/audio/speech"
    if not files:
        body = {**fields, **parameters}
        return Call(doing, "POST", path, body=body, result=bytes, raw=True)
    form = [
        (name, value if isinstance(value, str) else json.dumps(value))
        for name, value in fields.items()
    ]
    kwargs = [("kwargs", json.dumps(dict(parameters)))] if parameters else []
    return Call(doing, "POST", path, form=[*form, *kwargs, *files], result=bytes, raw=True)


class AudioModelHandle:
    """Talks to one model that writes speech down, or that speaks. `kwargs` go into the request."""

    def __init__(self, model_uid: str, client: Client) -> None:
        self.model_uid = model_uid
        self._client = client

    def transcriptions(
        self,
        audio: bytes,
        language: str | None = None,
        prompt: str | None = None,
        response_format: str = "json",
        temperature: float = 0,
        timestamp_granularities: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Transcript:
        """Write a recording down: an object with its `text`, or text as `response_format` text, srt
        and vtt have it."""
        return self._write_down(
            "transcriptions",
            audio,
            language,
            prompt,
            response_format,
            temperature,
            timestamp_granularities,
            kwargs,
        )

    def translations(
        self,
        audio: bytes,
        language: str | None = None,
        prompt: str | None = None,
        response_format: str = "json",
        temperature: float = 0,
        timestamp_granularities: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Transcript:
        """The same, in English."""
        return self._write_down(
            "translations",
            audio,
            language,
            prompt,
            response_format,
            temperature,
            timestamp_granularities,
            kwargs,
        )

    def _write_down(self, route: str, *more: Any) -> Transcript:
        return self._client.send(_write_down(route, self.model_uid, *more))

    def speech(
        self,
        input: str,
        voice: str = "",
        response_format: str = "mp3",
        speed: float = 1.0,
        stream: bool = False,
        prompt_speech: bytes | None = None,
        prompt_latent: bytes | None = None,
        **kwargs: Any,
    ) -> bytes | Generator[bytes, None, None]:
        """Speak a text: a file of sound, or its pieces as they are made with `stream`."""
        prompts = {"prompt_speech": prompt_speech, "prompt_latent": prompt_latent}
        call = _speak(self.model_uid, input, voice, response_format, speed, stream, prompts, kwargs)
        return self._client.stream_bytes(call) if stream else self._client.send(call)


class AsyncAudioModelHandle:
    """Talks to one model that writes speech down, or that speaks. `kwargs` go into the request."""

    def __init__(self, model_uid: str, client: AsyncClient) -> None:
        self.model_uid = model_uid
        self._client = client

    async def transcriptions(
        self,
        audio: bytes,
        language: str | None = None,
        prompt: str | None = None,
        response_format: str = "json",
        temperature: float = 0,
        timestamp_granularities: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Transcript:
        """Write a recording down: an object with its `text`, or text as `response_format` text, srt
        and vtt have it."""
        return await self._write_down(
            "transcriptions",
            audio,
            language,
            prompt,
            response_format,
            temperature,
            timestamp_granularities,
            kwargs,
        )

    async def translations(
        self,
        audio: bytes,
        language: str | None = None,
        prompt: str | None = None,
        response_format: str = "json",
        temperature: float = 0,
        timestamp_granularities: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> Transcript:
        """The same, in English."""
        return await self._write_down(
            "translations",
            audio,
            language,
            prompt,
            response_format,
            temperature,
            timestamp_granularities,
            kwargs,
        )

    async def _write_down(self, route: str, *more: Any) -> Transcript:
        return await self._client.send(_write_down(route, self.model_uid, *more))

    async def speech(
        self,
        input: str,
        voice: str = "",
        response_format: str = "mp3",
        speed: float = 1.0,
        stream: bool = False,
        prompt_speech: bytes | None = None,
        prompt_latent: bytes | None = None,
        **kwargs: Any,
    ) -> bytes | AsyncGenerator[bytes, None]:
        """Speak a text: a file of sound, or its pieces as they are made with `stream`."""
        prompts = {"prompt_speech": prompt_speech, "prompt_latent": prompt_latent}
        call = _speak(self.model_uid, input, voice, response_format, speed, stream, prompts, kwargs)
        if stream:
            return await self._client.stream_bytes(call)
        return await self._client.send(call)
