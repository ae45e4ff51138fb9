"""Speech over HTTP: what is sent on to the model, and the shapes of what comes back."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import wave
from typing import Any

import numpy as np
import pytest

from tests.support.sounds import RATE, pitch_of, tone
from tests.unit.api.fakes import Api, Exchange, Made, deployment
from xinfer.api.render.speech import SpeechFile
from xinfer.api.spool import Spool
from xinfer.errors import EngineFailed
from xinfer.types.event import Finished, Usage
from xinfer.types.product import Advance, Heard, Product, Segment, Sound, Word
from xinfer.types.request import Media, SpeechRequest, TranscribeRequest

pytestmark = pytest.mark.anyio

HEARS = deployment("hears", type="audio", abilities=("audio2text",))
SPEAKS = deployment("speaks", type="audio", abilities=("text2audio",))
USAGE = Usage(45, 6)
SEGMENTS = (
    Segment(0.5, 1.25, " seven two", (Word(0.5, 0.9, " seven"), Word(0.9, 1.25, " two")), (9, 8)),
    Segment(3661.0, 3662.007, " one --> three", (Word(3661.0, 3661.5, " one"),), (7,), 0.2, -0.5),
)
TRANSCRIPT: list[Product] = [Heard(4.4, "de", 0.9), *SEGMENTS]


STREAMED = {"model": "speaks", "input": "a", "response_format": "wav", "stream": True}


def api(*works: Made | Exception) -> Api:
    made = Api(deployment(), HEARS, SPEAKS)
    made.gateway.works += works  # type: ignore[arg-type]
    return made


def sounds(*parts: np.ndarray) -> list[Product]:
    return [Sound(part.astype("<i2").tobytes(), RATE) for part in parts]


async def write_down(made: Api, route: str = "transcriptions", **fields: Any) -> Any:
    return await made.http.post(
        f"/v1/audio/{route}",
        data={"model": "hears", **fields},
        files={"file": ("file", b"sound")},
    )


async def test_a_transcript_is_an_object_with_its_text() -> None:
    made = api(Made(TRANSCRIPT, USAGE))
    answer = await write_down(made)
    assert answer.json() == {
        "text": "seven two one --> three",
        "usage": {"type": "duration", "seconds": 5},
    }
    assert made.gateway.requests == [TranscribeRequest(sound=Media(b"sound", "file"))]


async def test_a_form_is_the_request_and_what_is_empty_in_it_is_not_said() -> None:
    made = api(Made(TRANSCRIPT, USAGE), Made(TRANSCRIPT, USAGE))
    answer = await write_down(
        made,
        language="de",
        prompt="7 2",
        temperature="0.4",
        response_format="verbose_json",
        kwargs=json.dumps({"request_id": "follow-me", "unheard": 1}),
        **{"timestamp_granularities[]": ["word", "segment"]},
    )
    assert answer.status_code == 200
    assert answer.headers["x-ignored-fields"] == "unheard"
    assert made.gateway.request_ids == ["follow-me"]
    empty = dict.fromkeys(("language", "prompt", "temperature", "response_format"), "")
    assert (await write_down(made, **empty, stream="false")).status_code == 200
    assert made.gateway.requests == [
        TranscribeRequest(
            sound=Media(b"sound", "file"), language="de", prompt="7 2", temperature=0.4, words=True
        ),
        TranscribeRequest(sound=Media(b"sound", "file")),
    ]


async def test_a_translation_is_asked_for_by_its_route() -> None:
    made = api(Made(TRANSCRIPT, USAGE))
    answer = await write_down(made, "translations", response_format="verbose_json")
    assert answer.json()["task"] == "translate"
    [request] = made.gateway.requests
    assert isinstance(request, TranscribeRequest)
    assert request.translate


async def test_a_verbose_transcript_tells_times() -> None:
    made = api(*[Made(TRANSCRIPT, USAGE)] * 2)
    body = (await write_down(made, response_format="verbose_json")).json()
    assert {key: body[key] for key in ("task", "language", "duration")} == {
        "task": "transcribe",
        "language": "german",
        "duration": 4.4,
    }
    assert "words" not in body
    assert body["segments"][1] == {
        "id": 1,
        "seek": 366100,
        "start": 3661.0,
        "end": 3662.007,
        "text": " one --> three",
        "tokens": [7],
        "temperature": 0.2,
        "avg_logprob": -0.5,
        "compression_ratio": 0.0,
        "no_speech_prob": 0.0,
    }
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    body = (await write_down(made, **fields)).json()
    assert "segments" not in body
    assert body["words"][0] == {"word": "seven", "start": 0.5, "end": 0.9}


@pytest.mark.parametrize(
    ("form", "kind", "text"),
    [
        ("text", "text/plain", "seven two one --> three\n"),
        (
            "srt",
            "text/plain",
            "1\n00:00:00,500 --> 00:00:01,250\nseven two\n\n"
            "2\n01:01:01,000 --> 01:01:02,007\none -> three\n\n",
        ),
        (
            "vtt",
            "text/plain",
            "WEBVTT\n\n00:00:00.500 --> 00:00:01.250\nseven two\n\n"
            "01:01:01.000 --> 01:01:02.007\none -> three\n\n",
        ),
    ],
)
async def test_a_transcript_is_text_where_that_is_asked_for(
    form: str, kind: str, text: str
) -> None:
    answer = await write_down(api(Made(TRANSCRIPT, USAGE)), response_format=form)
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.text == text


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in text.split("\n\n") if line]


async def test_a_stream_tells_each_segment_and_then_the_whole_text() -> None:
    made = api()
    first: Any = [Heard(4.4, "en"), Advance(1, 2), SEGMENTS[0]]
    made.gateway.scripts.append([first, [SEGMENTS[1], Finished(1, "stop", USAGE)]])
    answer = await write_down(made, stream="true")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert events(answer.text) == [
        {"type": "transcript.text.delta", "delta": "seven two"},
        {"type": "transcript.text.delta", "delta": " one --> three"},
        {
            "type": "transcript.text.done",
            "text": "seven two one --> three",
            "usage": {
                "type": "tokens",
                "input_tokens": 45,
                "output_tokens": 6,
                "total_tokens": 51,
            },
        },
    ]


async def test_a_stream_that_fails_says_so_in_its_last_event() -> None:
    made = api()
    made.gateway.scripts.append([[SEGMENTS[0]], EngineFailed("It broke.")])  # type: ignore[list-item]
    made_events = events((await write_down(made, stream="true")).text)
    assert made_events[-1]["error"]["message"] == "It broke."
    assert "transcript.text.done" not in {one.get("type") for one in made_events}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "docx"}, "response_format"),
        ({"temperature": "2"}, "temperature"),
        ({"temperature": "warm"}, "temperature"),
        ({"timestamp_granularities[]": "page"}, "timestamp_granularities[]"),
        ({"stream": "true", "response_format": "srt"}, "stream"),
        ({"include[]": "logprobs"}, "include"),
        ({"model": "echo"}, "model"),
        ({"model": "speaks"}, "model"),
    ],
)
async def test_what_cannot_be_written_down_so_is_refused(
    fields: dict[str, str], param: str
) -> None:
    answer = await write_down(api(), **fields)
    assert answer.status_code == 400
    assert param in answer.json()["error"]["param"]


async def test_a_body_without_a_file_or_none_that_is_a_form_is_refused() -> None:
    made = api()
    for sent in (
        {"data": {"model": "hears"}},
        {"json": {"model": "hears"}},
        {"data": {"model": "hears", "file": "text"}},
    ):
        answer = await made.http.post("/v1/audio/transcriptions", **sent)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")
    twice = [("file", b"one"), ("file", b"two")]
    answer = await made.http.post("/v1/audio/transcriptions", data={"model": "hears"}, files=twice)
    assert "one file of a form" in answer.json()["detail"]
    kind = {"content-type": "audio/ogg"}
    answer = await made.http.post("/v1/audio/transcriptions", content=b"OggS", headers=kind)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_content_type")
    assert "multipart/form-data" in answer.json()["detail"]
    kind = {"content-type": "multipart/form-data; boundary=x"}
    answer = await made.http.post("/v1/audio/transcriptions", content=b"no form", headers=kind)
    assert answer.json()["error"]["code"] == "invalid_form"


async def test_speech_is_a_file_of_the_whole_sound() -> None:
    made = api(Made(sounds(tone(0.5), tone(0.5)), Usage(5)))
    answer = await made.http.post(
        "/v1/audio/speech",
        json={
            "model": "speaks",
            "input": "Hello.",
            "voice": "anna",
            "response_format": "wav",
            "speed": 1.5,
            "kwargs": '{"seedy": 1}',
        },
    )
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.headers["x-sample-rate"] == str(RATE)
    assert answer.headers["x-ignored-fields"] == "seedy"
    with wave.open(io.BytesIO(answer.content)) as file:
        assert (file.getnframes(), file.getframerate()) == (RATE, RATE)
        samples = np.frombuffer(file.readframes(RATE), "<i2")
    assert np.array_equal(samples, np.concatenate([tone(0.5), tone(0.5)]))
    assert made.gateway.requests == [SpeechRequest(text="Hello.", voice="anna", speed=1.5)]


async def test_speech_is_mp3_unless_another_format_is_asked_for() -> None:
    pytest.importorskip("av")
    made = api(Made(sounds(tone(0.5)), Usage(5)))
    answer = await made.http.post(
        "/v1/audio/speech", json={"model": "speaks", "input": "a", "voice": ""}
    )
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.content.startswith(b"ID3")


async def test_speech_begins_anew_behind_an_attempt_that_was_lost() -> None:
    spool = Spool()
    lost = SpeechFile(spool, "wav", None)
    [one] = sounds(tone(0.3))
    [other] = sounds(tone(0.2))
    await lost.keep(one)
    kept = SpeechFile(spool, "wav", None)
    await kept.keep(other)
    await kept.finish()
    parts = kept.answer("audio/wav", {})._parts  # type: ignore[attr-defined]
    file = b"".join(
        part if isinstance(part, bytes) else b"".join(spool.pieces(part)) for part in parts
    )
    with wave.open(io.BytesIO(file)) as read:
        samples = np.frombuffer(read.readframes(RATE), "<i2")
    assert np.array_equal(samples, tone(0.2))
    spool.close()


async def test_a_model_that_says_nothing_has_failed() -> None:
    answer = await api(Made([], Usage(5))).http.post(
        "/v1/audio/speech", json={"model": "speaks", "input": "a", "response_format": "wav"}
    )
    assert answer.status_code == 500
    assert "without a sound" in answer.json()["detail"]


async def test_pcm_is_resampled_as_asked_for() -> None:
    pytest.importorskip("av")
    made = api(Made(sounds(tone(1)), Usage(5)))
    answer = await made.http.post(
        "/v1/audio/speech",
        json={"model": "speaks", "input": "a", "response_format": "pcm", "sample_rate": 8000},
    )
    assert answer.headers["x-sample-rate"] == "8000"
    samples = np.frombuffer(answer.content, "<i2").astype(np.int16)
    assert pitch_of(samples, rate=8000) == pytest.approx(440, abs=2)


def speech_script(*parts: np.ndarray) -> Any:
    *made, last = [[one] for one in sounds(*parts)]
    return [*made, [*last, Finished(1, "stop", Usage(5))]]


async def test_streamed_speech_is_the_same_sound_as_it_is_made() -> None:
    made = api()
    made.gateway.scripts.append(speech_script(tone(0.3), tone(0.2)))
    async with made.http.stream(
        "POST",
        "/v1/audio/speech",
        json={"model": "speaks", "input": "a", "response_format": "wav", "stream": True},
    ) as answer:
        assert answer.headers["content-type"] == "audio/wav"
        data = b"".join([part async for part in answer.aiter_bytes()])
    assert data[:4] == b"RIFF"
    assert np.array_equal(np.frombuffer(data[44:], "<i2"), np.concatenate([tone(0.3), tone(0.2)]))


async def test_streamed_speech_comes_in_openais_events_where_asked_for() -> None:
    made = api()
    made.gateway.scripts.append(speech_script(tone(0.3), tone(0.2)))
    answer = await made.http.post(
        "/v1/audio/speech",
        json={"model": "speaks", "input": "a", "response_format": "wav", "stream_format": "sse"},
    )
    *deltas, done = events(answer.text)
    assert {one["type"] for one in deltas} == {"speech.audio.delta"}
    data = b"".join(base64.b64decode(one["audio"]) for one in deltas)
    assert len(data) == 44 + 2 * RATE // 2
    assert done["type"] == "speech.audio.done"
    assert done["usage"]["input_tokens"] == 5


async def test_speech_that_fails_midway_does_not_end_like_a_whole_one() -> None:
    made = api()
    made.gateway.scripts.append([sounds(tone(0.3)), EngineFailed("It broke.")])  # type: ignore[list-item]
    exchange = Exchange(made.app, "/v1/audio/speech", STREAMED)
    async with exchange.running() as task:
        await asyncio.wait_for(task, 10)
    bodies = [message for message in exchange.sent if message["type"] == "http.response.body"]
    assert exchange.body.startswith(b"RIFF")
    assert all(message["more_body"] for message in bodies)


async def test_speech_ends_when_its_listener_leaves() -> None:
    made = api()
    never = asyncio.Event()
    made.gateway.scripts.append([sounds(tone(0.3)), never])  # type: ignore[list-item]
    exchange = Exchange(made.app, "/v1/audio/speech", STREAMED)
    async with exchange.running() as task:
        await exchange.receives(b"RIFF")
        exchange.hang_up()
        await asyncio.wait_for(task, 10)
        assert made.gateway.streams[0].left


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"response_format": "midi"}, "response_format"),
        ({"speed": 9}, "speed"),
        ({"sample_rate": 4000}, "sample_rate"),
        ({"model": "hears"}, "model"),
        ({"model": "echo"}, "model"),
        ({"input": 5}, "input"),
    ],
)
async def test_what_cannot_be_spoken_so_is_refused(fields: dict[str, Any], param: str) -> None:
    answer = await api().http.post(
        "/v1/audio/speech", json={"model": "speaks", "input": "a", **fields}
    )
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_recording_to_speak_like_is_sent_on_and_a_latent_is_refused() -> None:
    made = api(Made(sounds(tone(0.1)), Usage(5)))
    data = {"model": "speaks", "input": "a", "response_format": "wav", "prompt_text": "said"}
    files = {"prompt_speech": ("prompt_speech", b"voice")}
    answer = await made.http.post("/v1/audio/speech", data=data, files=files)
    assert answer.status_code == 200
    assert made.gateway.requests == [
        SpeechRequest(text="a", reference=Media(b"voice", "prompt_speech"), reference_text="said")
    ]
    answer = await made.http.post(
        "/v1/audio/speech", data=data, files={"prompt_latent": ("prompt_latent", b"x")}
    )
    assert answer.json()["error"]["code"] == "unsupported_parameter"
