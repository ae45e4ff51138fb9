"""A model that hears, launched from a directory and asked with the openai SDK."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import openai
import pytest

from tests.support.gguf_additions import audio_tower
from tests.support.gguf_models import random_llama
from tests.support.recordings import mp3, wav
from tests.support.server import Server

HALF_MINUTE = 750
"""Tokens of a recording up to half a minute; marks stand around all of one."""


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="not-needed", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def uid(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    directory = tmp_path_factory.mktemp("hearing")
    random_llama(directory / "hearing.gguf", context=4096)
    audio_tower(directory / "mmproj-hearing.gguf", 64)
    yield server.launch(
        str(directory),
        model_uid="hearing",
        model_engine="llama-cpp-python",
        n_threads=1,
        n_parallel=2,
    )
    server.terminate("hearing")


def part(data: bytes) -> dict[str, Any]:
    text = base64.b64encode(data).decode()
    return {"type": "input_audio", "input_audio": {"data": text, "format": "wav"}}


def ask(client: openai.OpenAI, uid: str, *parts: dict[str, Any], **fields: Any) -> Any:
    content: Any = [{"type": "text", "text": "Listen:"}, *parts]
    return client.chat.completions.create(
        model=uid,
        messages=[{"role": "user", "content": content}],
        temperature=0,
        max_tokens=12,
        **fields,
    )


def test_the_model_hears(server: Server, client: openai.OpenAI, uid: str) -> None:
    model = server.http.get(f"/v1/models/{uid}").json()
    assert "audio" in model["model_ability"]
    assert "vision" not in model["model_ability"]
    one, other = part(wav(25.0, 440)), part(wav(25.0, 3000))
    asked: list[Any] = [[one], [other], [one], [one, other], []]
    answers = [ask(client, uid, *parts, logprobs=True) for parts in asked]
    likely = [answer.choices[0].logprobs.content[0].logprob for answer in answers]
    assert likely[0] == pytest.approx(likely[2], abs=1e-3)
    for first, second in combinations([likely[0], likely[1], likely[3], likely[4]], 2):
        assert abs(first - second) > 1e-2, "recordings change nothing"
    used = [answer.usage.prompt_tokens - answers[-1].usage.prompt_tokens for answer in answers]
    marks = used[0] - HALF_MINUTE
    assert used == [used[0], used[0], used[0], 2 * used[0], 0]
    assert 0 <= marks < 40
    assert answers[2].usage.prompt_tokens_details.cached_tokens > HALF_MINUTE
    streamed = ask(client, uid, one, stream=True)
    text = "".join(c.choices[0].delta.content or "" for c in streamed if c.choices)
    assert text == answers[2].choices[0].message.content


def test_a_long_recording_is_computed_in_pieces(client: openai.OpenAI, uid: str) -> None:
    short, long = ask(client, uid, part(wav(1.0))), ask(client, uid, part(wav(31.0)))
    assert long.usage.prompt_tokens - short.usage.prompt_tokens == HALF_MINUTE
    compressed = base64.b64encode(mp3(100)).decode()
    sent = {"type": "input_audio", "input_audio": {"data": compressed, "format": "mp3"}}
    assert ask(client, uid, sent).usage.prompt_tokens == short.usage.prompt_tokens
    as_url = {"type": "audio_url", "audio_url": {"url": _data_url(wav(31.0))}}
    assert ask(client, uid, as_url).choices[0].message == long.choices[0].message


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_no_recording_is_an_error_that_names_it(
    client: openai.OpenAI, uid: str, stream: bool
) -> None:
    for data, reason in (
        (b"RIFF" + bytes(4) + b"AVI LIST", "neither WAV nor MP3"),
        (wav(0.1)[:-20], "is said to have"),
    ):
        with pytest.raises(openai.BadRequestError, match=reason) as caught:
            ask(client, uid, part(data), stream=stream)
        assert caught.value.param == "messages[0].content[1]"
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    with pytest.raises(openai.BadRequestError, match="takes none"):
        ask(client, uid, image, stream=stream)
    assert ask(client, uid).choices[0].message.content


def test_a_model_that_does_not_hear_names_those_that_do(
    server: Server, client: openai.OpenAI, uid: str
) -> None:
    deaf = server.launch(model_uid="deaf")
    with pytest.raises(openai.BadRequestError, match="Those here that do: hearing") as caught:
        ask(client, deaf, part(wav(0.1)))
    assert caught.value.param == "messages[0].content[1]"
    server.terminate(deaf)


def _data_url(data: bytes) -> str:
    return f"data:audio/wav;base64,{base64.b64encode(data).decode()}"
