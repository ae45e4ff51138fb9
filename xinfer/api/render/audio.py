"""Transcripts in the shapes of OpenAI's API, and sound in its events."""

from __future__ import annotations

import base64
import math
from collections.abc import Collection, Iterable
from typing import Any

import orjson

from xinfer.model.audio.languages import language_name
from xinfer.types.event import Usage
from xinfer.types.product import Heard, Product, Segment

_PLAIN = "text/plain; charset=utf-8"
"""Of subtitles, too: so OpenAI's API has it."""


class Transcript:
    """All that was heard of a recording."""

    def __init__(self, products: Iterable[Product]) -> None:
        self.heard = Heard(0.0)
        self.segments: list[Segment] = []
        for product in products:
            if isinstance(product, Heard):
                self.heard = product
            elif isinstance(product, Segment):
                self.segments.append(product)

    @property
    def text(self) -> str:
        return "".join(segment.text for segment in self.segments).strip()


def transcript(
    made: Transcript, form: str, *, task: str, granularities: Collection[str]
) -> tuple[bytes, str]:
    """The answer in a format, and its media type.

    Args:
        form: json, text, srt, vtt or verbose_json.
        task: transcribe or translate.
        granularities: with verbose_json, what is told: word, segment.
    """
    if form == "text":
        return f"{made.text}\n".encode(), _PLAIN
    if form == "srt":
        return subtitles(made.segments).encode(), _PLAIN
    if form == "vtt":
        return captions(made.segments).encode(), _PLAIN
    seconds = math.ceil(made.heard.duration)
    usage = {"type": "duration", "seconds": seconds}
    if form == "json":
        return orjson.dumps({"text": made.text, "usage": usage}), "application/json"
    answer: dict[str, Any] = {
        "task": task,
        "language": language_name(made.heard.language),
        "duration": round(made.heard.duration, 2),
        "text": made.text,
    }
    if "segment" in granularities:
        answer["segments"] = [_segment(*one) for one in enumerate(made.segments)]
    if "word" in granularities:
        answer["words"] = [
            {"word": word.text.strip(), "start": word.start, "end": word.end}
            for segment in made.segments
            for word in segment.words
        ]
    return orjson.dumps({**answer, "usage": usage}), "application/json"


def _segment(number: int, segment: Segment) -> dict[str, Any]:
    return {
        "id": number,
        "seek": round(segment.start * 100),
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": list(segment.tokens),
        "temperature": segment.temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    }


def subtitles(segments: Iterable[Segment]) -> str:
    """As SubRip has them."""
    return "".join(
        f"{number}\n{_clock(one.start, ',')} --> {_clock(one.end, ',')}\n{_line(one.text)}\n\n"
        for number, one in enumerate(segments, 1)
    )


def captions(segments: Iterable[Segment]) -> str:
    """As WebVTT has them."""
    return "WEBVTT\n\n" + "".join(
        f"{_clock(one.start, '.')} --> {_clock(one.end, '.')}\n{_line(one.text)}\n\n"
        for one in segments
    )


def _line(text: str) -> str:
    """Of a cue: an arrow in it would be taken for times."""
    return text.strip().replace("-->", "->")


def _clock(seconds: float, point: str) -> str:
    whole = round(seconds * 1000)
    minutes, milliseconds = divmod(whole, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"


class TranscriptEvents:
    """OpenAI's events of a transcript that comes as it is heard."""

    def __init__(self) -> None:
        self._text = ""

    def segment(self, segment: Segment) -> bytes:
        """More of the text; the first of it without the space before it."""
        delta = segment.text if self._text else segment.text.lstrip()
        self._text += delta
        return _event({"type": "transcript.text.delta", "delta": delta}) if delta else b""

    def done(self, usage: Usage) -> bytes:
        return _event(
            {"type": "transcript.text.done", "text": self._text.rstrip(), "usage": _tokens(usage)}
        )


def sound_event(data: bytes) -> bytes:
    """More of the file; nothing where there is nothing."""
    if not data:
        return b""
    return _event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode()})


def sound_done(usage: Usage) -> bytes:
    return _event({"type": "speech.audio.done", "usage": _tokens(usage)})


def _tokens(usage: Usage) -> dict[str, Any]:
    return {
        "type": "tokens",
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"
