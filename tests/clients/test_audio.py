"""Speech through the clients that people use, unmodified, or by their very calls."""

from __future__ import annotations

import gc
import importlib
import io
import json
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest

pytest.importorskip("torch")
pytest.importorskip("av")

from tests.support.digits import MODEL, right, samples
from tests.support.server import Server
from tests.support.sounds import container, tone, wav
from tests.support.speech_models import CSM_RATE, RATE, make_csm, make_vits
from tests.support.waiting import eventually
from training.tiny_audio.words import WORDS
from xinfer.client import AsyncClient

# Transformers' own VITS is made with it.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated"),
    pytest.mark.usefixtures("audio"),
]

HEARS, SPEAKS = "whisper-1", "tts-1"
TEXT = "Good morning to you. And how are you today?"


@pytest.fixture(scope="module")
def audio(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Two models, under the names that OpenAI's have, as tutorials launch them."""
    vits = make_vits(tmp_path_factory.mktemp("speech") / "vits")
    local = {"model_type": "audio", "n_threads": 1}
    server.launch("whisper-large-v3", model_uid=HEARS, model_path=str(MODEL), **local)
    server.launch("mms-tts", model_uid=SPEAKS, model_path=str(vits), **local)
    yield
    for uid in (HEARS, SPEAKS):
        server.terminate(uid)


@pytest.fixture
def sdk(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="not-needed", max_retries=0) as made:
        yield made


@pytest.fixture(params=["xinference_client", "xinference.client"])
def client(request: pytest.FixtureRequest, server: Server) -> Iterator[Any]:
    made = importlib.import_module(request.param).RESTfulClient(server.url)
    yield made
    made.close()
    gc.collect()  # while the filters of warnings hold


def in_english(words: str) -> str:
    return " ".join(WORDS["en"][WORDS["de"].index(word)] for word in words.split())


class TestOpenai:
    def test_a_transcript_is_what_was_said(self, sdk: openai.OpenAI) -> None:
        spoken = right("en")[0]
        with spoken.file.open("rb") as file:
            made = sdk.audio.transcriptions.create(model=HEARS, file=file)
        assert made.text == spoken.said
        assert made.usage is not None
        assert made.usage.type == "duration"

    def test_a_verbose_one_has_words_and_segments(self, sdk: openai.OpenAI) -> None:
        spoken = right("en")[1]
        made = sdk.audio.transcriptions.create(
            model=HEARS,
            file=("speech.ogg", spoken.file.read_bytes()),
            language="en",
            response_format="verbose_json",
            timestamp_granularities=["word", "segment"],
        )
        assert made.language == "english"
        assert made.words is not None
        assert [word.word for word in made.words] == spoken.said.split()
        assert made.segments is not None
        assert "".join(segment.text for segment in made.segments).strip() == spoken.said

    @pytest.mark.parametrize(("form", "begins"), [("text", ""), ("srt", "1\n"), ("vtt", "WEBVTT")])
    def test_text_comes_as_it_is(self, sdk: openai.OpenAI, form: Any, begins: str) -> None:
        spoken = right("en")[0]
        made = sdk.audio.transcriptions.create(
            model=HEARS, file=("a.ogg", spoken.file.read_bytes()), response_format=form
        )
        assert isinstance(made, str)
        assert made.startswith(begins)
        lines = [line for line in made.splitlines() if line.replace(" ", "").isalpha()]
        assert " ".join(lines).removeprefix("WEBVTT ") == spoken.said

    def test_a_stream_ends_with_the_whole_text(self, sdk: openai.OpenAI) -> None:
        spoken = right("en")[0]
        with sdk.audio.transcriptions.create(
            model=HEARS, file=("a.ogg", spoken.file.read_bytes()), stream=True
        ) as stream:
            events = list(stream)
        assert "".join(e.delta for e in events if e.type == "transcript.text.delta") == spoken.said
        last = events[-1]
        assert last.type == "transcript.text.done"
        assert last.text == spoken.said

    def test_a_translation_is_in_english(self, sdk: openai.OpenAI) -> None:
        translated = []
        for spoken in right("de")[:4]:
            made = sdk.audio.translations.create(
                model=HEARS, file=("a.ogg", spoken.file.read_bytes())
            )
            translated.append(made.text == in_english(spoken.said))
        assert sum(translated) >= 3

    @pytest.mark.parametrize(("form", "codec"), [("mp3", "libmp3lame"), ("webm", "libopus")])
    def test_any_container_is_heard(self, sdk: openai.OpenAI, form: str, codec: str) -> None:
        spoken = right("en")[0]
        heard = samples(spoken)
        data = container(form, codec, heard)
        made = sdk.audio.transcriptions.create(
            model=HEARS, file=(f"a.{form}", data), response_format="verbose_json"
        )
        assert made.text
        assert made.duration == pytest.approx(len(heard) / RATE, abs=0.2)

    def test_speech_is_a_file(self, sdk: openai.OpenAI, tmp_path: Path) -> None:
        made = sdk.audio.speech.create(model=SPEAKS, voice="", input=TEXT, response_format="wav")
        made.write_to_file(tmp_path / "speech.wav")
        with wave.open(str(tmp_path / "speech.wav")) as file:
            assert file.getframerate() == RATE
            assert file.getnframes() > RATE // 2

    def test_speech_streams(self, sdk: openai.OpenAI) -> None:
        with sdk.audio.speech.with_streaming_response.create(
            model=SPEAKS, voice="", input=TEXT, response_format="pcm", extra_body={"stream": True}
        ) as answer:
            data = b"".join(answer.iter_bytes())
        assert len(data) > 24000

    def test_a_refusal_is_a_bad_request(self, sdk: openai.OpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="PNG picture"):
            sdk.audio.transcriptions.create(model=HEARS, file=("a.mp3", b"\x89PNG\r\n\x1a\n"))
        with pytest.raises(openai.BadRequestError, match="voice"):
            sdk.audio.speech.create(model=SPEAKS, voice="alloy", input=TEXT)


def test_a_voice_of_piper_is_launched_by_its_file(
    server: Server, sdk: openai.OpenAI, tmp_path: Path
) -> None:
    pytest.importorskip("piper")
    pytest.importorskip("onnx")
    from tests.support import piper_voices

    path = piper_voices.make_piper(
        tmp_path / "hums.onnx", phoneme_type="text", phoneme_id_map=piper_voices.LETTERS
    )
    uid = server.launch(str(path), model_type="audio", n_threads=1)
    try:
        made = sdk.audio.speech.create(
            model=uid, voice="", input="go on", response_format="wav", speed=2
        )
        with pytest.raises(openai.BadRequestError, match="one voice, without a name"):
            sdk.audio.speech.create(model=uid, voice="alloy", input="go on")
    finally:
        server.terminate(uid)
    with wave.open(io.BytesIO(made.content)) as file:
        assert file.getframerate() == piper_voices.RATE
        # Of each letter two numbers, and three around them.
        assert file.getnframes() == (2 * 5 + 3) * piper_voices.STEP // 2


class TestXinference:
    def test_transcriptions_and_translations(self, client: Any) -> None:
        handle = client.get_model(HEARS)
        english, german = right("en")[0], right("de")[0]
        made = handle.transcriptions(english.file.read_bytes())
        assert made["text"] == english.said
        verbose = handle.transcriptions(
            english.file.read_bytes(),
            language="en",
            prompt="",
            response_format="verbose_json",
            timestamp_granularities=["word"],
        )
        assert [word["word"] for word in verbose["words"]] == english.said.split()
        assert isinstance(handle.translations(german.file.read_bytes())["text"], str)

    def test_speech_whole_and_streamed(self, client: Any) -> None:
        handle = client.get_model(SPEAKS)
        whole = handle.speech(TEXT, response_format="wav")
        assert whole[:4] == b"RIFF"
        streamed = b"".join(handle.speech(TEXT, response_format="wav", stream=True))
        assert streamed[44:] == whole[44:]

    def test_a_voice_to_speak_like_is_refused_by_a_model_that_cannot(self, client: Any) -> None:
        with pytest.raises(RuntimeError, match="does not clone voices"):
            client.get_model(SPEAKS).speech(TEXT, prompt_speech=wav(np.zeros(100, np.int16)))


def test_speech_in_the_voice_of_a_recording(server: Server, tmp_path: Path) -> None:
    uid = server.launch(str(make_csm(tmp_path / "csm")), model_type="audio", n_threads=1)
    voice = wav(tone(1, rate=CSM_RATE), rate=CSM_RATE)
    told = {"response_format": "wav", "prompt_speech": voice, "prompt_text": "hello."}
    made = []
    try:
        assert (
            "text2audio_voice_cloning"
            in server.http.get(f"/v1/models/{uid}").json()["model_ability"]
        )
        for name in ("xinference_client", "xinference.client"):
            client = importlib.import_module(name).RESTfulClient(server.url)
            handle = client.get_model(uid)
            made += [
                handle.speech("go on.", response_format="wav"),
                handle.speech("go on.", **told),
            ]
            with pytest.raises(RuntimeError, match="prompt_text"):
                handle.speech("go on.", prompt_speech=voice)
            client.close()
    finally:
        server.terminate(uid)
        gc.collect()  # while the filters of warnings hold
    plain, like, plain_again, like_again = made
    assert (plain, like) == (plain_again, like_again)
    assert plain != like
    with wave.open(io.BytesIO(like)) as file:
        assert file.getframerate() == CSM_RATE


@pytest.mark.anyio
async def test_the_asynchronous_client_does_both(server: Server) -> None:
    spoken = right("en")[0]
    async with AsyncClient(server.url) as client:
        hears: Any = await client.get_model(HEARS)
        assert (await hears.transcriptions(spoken.file.read_bytes()))["text"] == spoken.said
        text = await hears.transcriptions(spoken.file.read_bytes(), response_format="text")
        assert text == f"{spoken.said}\n"
        speaks: Any = await client.get_model(SPEAKS)
        data = b"".join([part async for part in await speaks.speech(TEXT, stream=True)])
        assert data.startswith(b"ID3")


class TestDify:
    """As its plugin sends them, by xinference-client's requests."""

    def test_speech_to_text(self, server: Server) -> None:
        described = server.http.get(f"/v1/models/{HEARS}").json()
        assert described["model_type"] == "audio"
        assert "text2audio" not in described["model_ability"]
        spoken = right("en")[0]
        answer = server.http.post(
            "/v1/audio/transcriptions",
            data={
                "model": HEARS,
                "response_format": "verbose_json",
                "temperature": "0",
                "kwargs": json.dumps({}),
            },
            files=[("file", ("file", spoken.file.read_bytes(), "application/octet-stream"))],
        )
        assert answer.json()["text"] == spoken.said

    def test_text_to_speech(self, server: Server) -> None:
        described = server.http.get(f"/v1/models/{SPEAKS}").json()
        assert "text2audio" in described["model_ability"]
        body = {
            "model": SPEAKS,
            "input": TEXT,
            "voice": "",
            "response_format": "mp3",
            "speed": 1.0,
            "stream": True,
            "kwargs": json.dumps({}),
        }
        with server.http.stream("POST", "/v1/audio/speech", json=body) as answer:
            assert answer.status_code == 200
            data = b"".join(answer.iter_bytes(1024))
        assert data.startswith(b"ID3")


def test_what_is_spoken_can_be_written_down(server: Server) -> None:
    """Noise in the right format is heard to its end, whatever is made of it."""
    body = {"model": SPEAKS, "input": TEXT, "response_format": "flac"}
    spoken = server.http.post("/v1/audio/speech", json=body).content
    answer = server.http.post(
        "/v1/audio/transcriptions",
        data={"model": HEARS, "response_format": "verbose_json"},
        files={"file": ("speech.flac", spoken)},
    )
    assert answer.json()["duration"] > 0.5


def test_a_listener_that_leaves_ends_the_speech(server: Server) -> None:
    body = {"model": SPEAKS, "input": "word. " * 3000, "response_format": "wav", "stream": True}
    body |= {"speed": 0.25, "sample_rate": 48_000}  # more than what is on the way to a reader
    with (
        httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http,
        http.stream("POST", "/v1/audio/speech", json=body) as answer,
    ):
        sound = answer.iter_bytes()  # which ends the request when nobody has it any more
        assert next(sound)
        assert running(server) == 1
    eventually(lambda: running(server) == 0, 20, "the end of a speech that nobody hears")


def running(server: Server) -> int:
    return sum(one["running"] for one in server.replicas(SPEAKS))


def test_a_request_can_be_followed_and_aborted(server: Server) -> None:
    samples_of_it = io.BytesIO(wav(np.zeros(600 * 16000, np.int16)))
    data = {"model": HEARS, "stream": "true", "request_id": "long-one"}
    with server.http.stream(
        "POST",
        "/v1/audio/transcriptions",
        data=data,
        files={"file": ("a.wav", samples_of_it)},
    ) as answer:
        server.http.post(f"/v1/models/{HEARS}/requests/long-one/abort", json={})
        events = [line for line in answer.iter_lines() if line.startswith("data:")]
    assert "aborted" in events[-1]
