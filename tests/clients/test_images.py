"""Pictures through the clients that people use, unmodified, and through two API processes."""

from __future__ import annotations

import base64
import gc
import importlib
import io
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from tests.support import diffusion
from tests.support.pictures import data_url, noise, png, png_file
from tests.support.server import Server, running_server
from tests.support.waiting import eventually

GIVEN, MASK = png(noise(1, 16, 16)), png(noise(2, 16, 16) * 0 + 255)
FAST = {"num_inference_steps": 2}
LONG = {"num_inference_steps": 500, "n": 10}
"""Minutes of drawing, which nobody waits for."""


@pytest.fixture(scope="module")
def images() -> Iterator[Server]:
    """A server with two API processes."""
    with running_server("--api-workers", "2") as made:
        yield made


@pytest.fixture(scope="module")
def model(images: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = diffusion.stable_diffusion(tmp_path_factory.mktemp("sd"))
    return images.launch(str(folder), model_uid="draw", model_type="image", n_threads=1)


@pytest.fixture
def sdk(images: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{images.url}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture(params=["xinference_client", "xinference.client"])
def handle(request: pytest.FixtureRequest, images: Server, model: str) -> Iterator[Any]:
    made = importlib.import_module(request.param).RESTfulClient(images.url)
    yield made.get_model(model)
    made.close()
    gc.collect()  # while the filters below hold


def size_of(file: bytes) -> tuple[int, int]:
    image = Image.open(io.BytesIO(file))
    assert image.format == "PNG"
    return image.size


def test_openais_sdk_draws_edits_and_varies(sdk: openai.OpenAI, model: str) -> None:
    made = sdk.images.generate(
        model=model, prompt="a cat", n=2, response_format="b64_json", extra_body=FAST
    )
    files = [base64.b64decode(one.b64_json or "") for one in made.data or []]
    assert [size_of(file) for file in files] == [(16, 16), (16, 16)]
    assert files[0] != files[1]
    edited = sdk.images.edit(
        model=model, image=GIVEN, mask=MASK, prompt="a cat", size="256x256", extra_body=FAST
    )
    [one] = edited.data or []
    assert size_of(httpx.get(one.url or "", trust_env=False).content) == (256, 256)
    varied = sdk.images.create_variation(
        model=model, image=GIVEN, response_format="b64_json", extra_body={"steps": "8"}
    )
    assert size_of(base64.b64decode((varied.data or [])[0].b64_json or "")) == (16, 16)


def test_openais_sdk_streams_pictures_while_they_are_drawn(sdk: openai.OpenAI, model: str) -> None:
    steps = {"num_inference_steps": 6, "seed": 3}
    with sdk.images.generate(
        model=model, prompt="a cat", stream=True, partial_images=2, extra_body=steps
    ) as stream:
        *partial, done = stream
    assert [one.type for one in partial] == ["image_generation.partial_image"] * 2
    assert [one.partial_image_index for one in partial] == [0, 1]  # type: ignore[union-attr]
    assert done.type == "image_generation.completed"
    assert done.usage.input_tokens > 0
    assert size_of(base64.b64decode(partial[0].b64_json)) == (16, 16)
    whole = sdk.images.generate(
        model=model, prompt="a cat", response_format="b64_json", extra_body=steps
    )
    files = [done.b64_json, *(one.b64_json for one in partial)]
    assert files[0] == (whole.data or [])[0].b64_json
    assert len(set(files)) == 3
    with sdk.images.edit(
        model=model, image=GIVEN, prompt="a cat", stream=True, extra_body={"steps": "8"}
    ) as stream:
        [edited] = stream
    assert edited.type == "image_edit.completed"
    assert size_of(base64.b64decode(edited.b64_json)) == (16, 16)


def test_who_leaves_a_stream_ends_the_drawing(
    images: Server, sdk: openai.OpenAI, model: str
) -> None:
    with sdk.images.generate(
        model=model, prompt="a cat", stream=True, partial_images=3, extra_body=LONG
    ) as stream:
        assert next(stream).type == "image_generation.partial_image"
    assert_free(images, model)


def test_openais_sdk_is_told_what_cannot_be(sdk: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.images.generate(model=model, prompt="a", size="15x15")  # type: ignore[call-overload]
    assert refused.value.param == "size"
    with pytest.raises(openai.NotFoundError):
        sdk.images.generate(model="nobody", prompt="a")


def test_xinferences_clients_draw_in_every_way(handle: Any) -> None:
    made = handle.text_to_image("a cat", n=2, size="16*24", seed=5, **FAST)
    files = [httpx.get(one["url"], trust_env=False).content for one in made["data"]]
    assert [size_of(file) for file in files] == [(16, 24), (16, 24)]
    again = handle.text_to_image("a cat", size="16*24", response_format="b64_json", seed=6, **FAST)
    assert base64.b64decode(again["data"][0]["b64_json"]) == files[1]
    more = {"response_format": "b64_json", "num_inference_steps": 8}
    for answer in (
        handle.image_to_image(GIVEN, "a cat", "dogs", n=1, size="16*32", strength=0.5, **more),
        handle.image_edit([GIVEN], "a cat", size="16*32", **more),
        handle.inpainting(GIVEN, MASK, "a cat", size="16*32", **more),
    ):
        assert size_of(base64.b64decode(answer["data"][0]["b64_json"])) == (16, 32)


def test_a_long_one_tells_its_progress_and_ends_when_it_is_aborted(
    images: Server, model: str
) -> None:
    answers: list[httpx.Response] = []
    body = {"model": model, "prompt": "a cat", "request_id": "long", **LONG}

    def draw() -> None:
        answers.append(images.http.post("/v1/images/generations", json=body))

    drawing = threading.Thread(target=draw)
    drawing.start()

    def progress() -> float:
        # A connection each, so that either process is asked.
        answer = httpx.get(f"{images.url}/v1/requests/long/progress", trust_env=False)
        return float(answer.json().get("progress", 0.0))

    first = eventually(progress, 60, "the first step")
    told = eventually(lambda: (now := progress()) > first and now, 60, "further steps")
    assert 0 < first < told < 1
    ended = httpx.post(
        f"{images.url}/v1/models/{model}/requests/long/abort", json={}, trust_env=False
    )
    assert ended.json() == {"msg": "DONE"}
    drawing.join(60)
    assert answers[0].status_code == 499
    assert_free(images, model)


def test_a_client_that_leaves_frees_the_model(images: Server, model: str) -> None:
    body = {"model": model, "prompt": "a cat", "request_id": "left", **LONG}
    with (
        pytest.raises(httpx.ReadTimeout),
        httpx.Client(base_url=images.url, timeout=1.0, trust_env=False) as impatient,
    ):
        impatient.post("/v1/images/generations", json=body)
    assert_free(images, model)


def assert_free(images: Server, model: str) -> None:
    """The next request is answered, which is drawn after what runs has ended."""
    made = images.http.post(
        "/v1/images/generations", json={"model": model, "prompt": "a", **FAST}, timeout=60
    )
    assert made.status_code == 200, made.text


def test_a_url_is_answered_by_either_process(images: Server, model: str) -> None:
    made = images.http.post("/v1/images/generations", json={"model": model, "prompt": "a", **FAST})
    url = made.json()["data"][0]["url"]
    found = [httpx.get(url, trust_env=False) for _ in range(6)]
    assert [one.status_code for one in found] == [200] * 6
    assert len({one.content for one in found}) == 1


def test_pictures_that_would_blow_up_and_urls_of_private_addresses_are_refused(
    images: Server, model: str
) -> None:
    bomb = png_file(50_000, 50_000, b"")
    for given, status in (
        (data_url(bomb), 413),
        (data_url(b"%PDF-1.7"), 400),
        ("http://127.0.0.1:9/a.png", 400),
        ("http://169.254.169.254/latest", 400),
        ("file:///etc/passwd", 400),
    ):
        answer = images.http.post(
            "/v1/images/edits", json={"model": model, "prompt": "a", "image": given}
        )
        assert answer.status_code == status, given[:40]
        assert answer.json()["error"]["param"] == "image"
    assert_free(images, model)


def test_the_models_list_tells_what_it_does(images: Server, model: str) -> None:
    told = images.http.get(f"/v1/models/{model}").json()
    assert told["model_type"] == "image"
    assert sorted(told["model_ability"]) == ["image2image", "inpainting", "text2image"]


def test_what_is_seen_of_a_picture_is_what_was_drawn(sdk: openai.OpenAI, model: str) -> None:
    made = [
        sdk.images.generate(
            model=model, prompt=prompt, response_format="b64_json", extra_body={**FAST, "seed": 3}
        )
        for prompt in ("a cat", "a cat", "a dog")
    ]
    files = [base64.b64decode((one.data or [])[0].b64_json or "") for one in made]
    pixels = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
    assert (pixels[0] == pixels[1]).all()
    assert (pixels[0] != pixels[2]).any()
