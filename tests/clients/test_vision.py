"""Models that see, launched from a directory and asked with the openai SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.support.gguf_additions import vision_tower
from tests.support.gguf_models import random_llama
from tests.support.pictures import data_url, noise, png, png_file
from tests.support.seeing_models import seeing_model
from tests.support.server import Server

PATCHES = 16
"""Tokens of a picture."""
ONE, OTHER = data_url(png(noise(1))), data_url(png(noise(2, 300, 200)))


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="not-needed", max_retries=0) as made:
        yield made


def with_projector(directory: Path) -> dict[str, Any]:
    random_llama(directory / "seeing.gguf")
    vision_tower(directory / "mmproj-seeing.gguf", 64)
    return {"model_name": str(directory), "n_parallel": 2}


def whole(directory: Path) -> dict[str, Any]:
    return {"model_name": str(seeing_model("llava", directory / "llava")), "max_num_seqs": 2}


ENGINES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "llama-cpp-python": with_projector,
    "transformers": whole,
}
"""What makes a model in a directory, and how it is launched."""


@pytest.fixture(scope="module", params=ENGINES)
def uid(
    server: Server, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[str]:
    launch = ENGINES[request.param](tmp_path_factory.mktemp("seeing"))
    yield server.launch(model_uid="seeing", model_engine=request.param, n_threads=1, **launch)
    server.terminate("seeing")


def ask(client: openai.OpenAI, uid: str, *urls: str, **fields: Any) -> Any:
    parts: list[Any] = [{"type": "text", "text": "Look:"}]
    parts += [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return client.chat.completions.create(
        model=uid,
        messages=[{"role": "user", "content": parts}],
        temperature=0,
        max_tokens=12,
        **fields,
    )


def test_the_model_sees(client: openai.OpenAI, uid: str) -> None:
    answers = [ask(client, uid, *urls) for urls in ([ONE], [OTHER], [ONE], [ONE, OTHER], [])]
    texts = [answer.choices[0].message.content for answer in answers]
    assert texts[0] == texts[2]
    assert len({texts[0], texts[1], texts[3], texts[4]}) == 4, "pictures change nothing"
    used = [answer.usage.prompt_tokens - answers[-1].usage.prompt_tokens for answer in answers]
    assert used == [PATCHES, PATCHES, PATCHES, 2 * PATCHES, 0]
    assert answers[2].usage.prompt_tokens_details.cached_tokens > PATCHES


def test_a_picture_at_an_address_of_the_server_is_refused(
    server: Server, client: openai.OpenAI, uid: str
) -> None:
    with pytest.raises(openai.BadRequestError, match="no public address is known") as caught:
        ask(client, uid, ONE, f"{server.url}/health")
    assert caught.value.param == "messages[0].content[2]"


def test_a_stream_says_the_same(client: openai.OpenAI, uid: str) -> None:
    whole = ask(client, uid, ONE).choices[0].message.content
    chunks = ask(client, uid, ONE, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole


def test_the_model_is_listed_as_one_that_sees(server: Server, uid: str) -> None:
    model = server.http.get(f"/v1/models/{uid}").json()
    assert model["model_ability"] == ["generate", "chat", "vision"]


@pytest.mark.parametrize(
    ("url", "status", "reason"),
    [
        ("file:///etc/passwd", 400, "data URL"),
        (data_url(b"RIFF0000WEBP", "image/webp"), 400, "expected PNG, JPEG, GIF, BMP"),
        (data_url(png_file(40, 30, b"damaged")), 400, "damaged"),
        (data_url(png_file(100_000, 100_000, b"")), 413, "100000 by 100000 pixels"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_bad_picture_is_an_error_that_names_it(
    client: openai.OpenAI, uid: str, url: str, status: int, reason: str, stream: bool
) -> None:
    with pytest.raises(openai.APIStatusError, match=reason) as raised:
        ask(client, uid, ONE, url, stream=stream)
    assert raised.value.status_code == status
    assert raised.value.param == "messages[0].content[2]"


def test_a_model_that_does_not_see_says_so(client: openai.OpenAI, server: Server) -> None:
    uid = server.launch(model_uid="blind-echo")
    try:
        with pytest.raises(openai.BadRequestError, match="takes parts of type 'text'"):
            ask(client, uid, ONE)
    finally:
        server.terminate(uid)
