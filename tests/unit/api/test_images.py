"""Pictures over HTTP: what is sent on to the model, and what comes back, by URL or as such."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.pictures import data_url, noise, png
from tests.unit.api.fakes import Api, Exchange, Made, deployment
from xinfer.api.image_store import ImageStore
from xinfer.api.render.images import Gallery
from xinfer.errors import EngineFailed, Unavailable
from xinfer.settings import Settings
from xinfer.types.event import Finished, Usage
from xinfer.types.product import Advance, Picture, Preview
from xinfer.types.request import ImageRequest, Media

pytestmark = pytest.mark.anyio

TASKS = frozenset({"text2image", "image2image", "inpainting"})
FIRST, SECOND = png(noise(1)), png(noise(2))
DRAWS = deployment("draw", type="image", abilities=tuple(sorted(TASKS)), tasks=TASKS)
CONTROLLED = deployment(
    "controlled", type="image", abilities=("text2image",), tasks=TASKS, details={"controlnets": 1}
)


def drawn(*files: bytes, cut: int = 0) -> Made:
    pictures = [Picture(n, file, 40 + n, prompt_cut=cut) for n, file in enumerate(files)]
    return Made(list(pictures), Usage(7), 0.5)


def api(tmp_path: Path, *works: Made | Exception, **settings: Any) -> Api:
    made = Api(deployment(), DRAWS, CONTROLLED, home=str(tmp_path), **settings)
    made.gateway.works += works  # type: ignore[arg-type]
    return made


def kept(home: Path) -> list[Path]:
    """The pictures that can be had by URL."""
    return list(home.glob("image/*"))


def asked(made: Api) -> ImageRequest:
    [request] = made.gateway.requests
    assert isinstance(request, ImageRequest)
    return request


async def test_pictures_come_by_urls_that_another_process_of_the_server_answers(
    tmp_path: Path,
) -> None:
    made, other = api(tmp_path, drawn(FIRST, SECOND)), api(tmp_path)
    answer = await made.http.post(
        "/v1/images/generations", json={"model": "draw", "prompt": "a cat", "n": 2}
    )
    assert answer.status_code == 200
    body = answer.json()
    assert [one["seed"] for one in body["data"]] == [40, 41]
    assert all(one["b64_json"] is None for one in body["data"])
    for one, file in zip(body["data"], (FIRST, SECOND), strict=True):
        base, _, name = one["url"].partition("/v1/images/files/")
        assert base == str(made.http.base_url).rstrip("/")
        assert len(name) == 32 + len(".png")
        for process in (made, other):
            found = await process.http.get(f"/v1/images/files/{name}")
            assert (found.content, found.headers["content-type"]) == (file, "image/png")
            assert found.headers["x-content-type-options"] == "nosniff"
    assert asked(made) == ImageRequest(task="text2image", prompt="a cat", n=2)


async def test_urls_name_the_address_that_users_reach_the_server_by(tmp_path: Path) -> None:
    made = api(tmp_path, drawn(FIRST), public_url="https://ai.example.com/")
    answer = await made.http.post("/v1/images/generations", json={"model": "draw", "prompt": "a"})
    assert answer.json()["data"][0]["url"].startswith("https://ai.example.com/v1/images/files/")


async def test_pictures_come_in_the_answer_where_that_is_asked_for(tmp_path: Path) -> None:
    made = api(tmp_path, drawn(FIRST))
    answer = await made.http.post(
        "/v1/images/generations",
        json={"model": "draw", "prompt": "a", "response_format": "b64_json"},
    )
    [one] = answer.json()["data"]
    assert base64.b64decode(one["b64_json"]) == FIRST
    assert one["url"] is None
    assert not (tmp_path / "image").exists()


async def test_what_clients_call_things_is_what_the_model_is_asked(tmp_path: Path) -> None:
    made = api(tmp_path, drawn(FIRST))
    kwargs = {
        "negative_prompt": "dogs",
        "num_inference_steps": 9,
        "guidance_scale": 3,
        "sampler_name": "DPM++ 2M Karras",
        "seed": 5,
        "request_id": "follow-me",
        "lora_name": "style",
    }
    answer = await made.http.post(
        "/v1/images/generations",
        json={
            "model": "draw",
            "prompt": "a cat",
            "size": "640*480",
            "kwargs": json.dumps(kwargs),
            "quality": "standard",
            "user": "me",
            "unheard": 1,
        },
    )
    assert answer.status_code == 200
    assert answer.headers["x-ignored-fields"] == "unheard"
    assert made.gateway.request_ids == ["follow-me"]
    assert asked(made) == ImageRequest(
        task="text2image",
        prompt="a cat",
        negative_prompt="dogs",
        width=640,
        height=480,
        steps=9,
        guidance=3.0,
        seed=5,
        scheduler="DPM++ 2M Karras",
        adapter="style",
    )


async def test_each_prompt_of_several_has_its_pictures_in_order(tmp_path: Path) -> None:
    made = api(tmp_path, drawn(FIRST), drawn(SECOND))
    answer = await made.http.post(
        "/v1/images/generations",
        json={"model": "draw", "prompt": ["a", "b"], "response_format": "b64_json", "seed": -1},
    )
    files = [base64.b64decode(one["b64_json"]) for one in answer.json()["data"]]
    assert files == [FIRST, SECOND]
    prompts = [(r.prompt, r.seed) for r in made.gateway.requests if isinstance(r, ImageRequest)]
    assert prompts == [("a", None), ("b", None)]


async def test_prompts_that_were_cut_short_are_counted(tmp_path: Path) -> None:
    made = api(tmp_path, drawn(FIRST), drawn(FIRST, SECOND, cut=3))
    body = {"model": "draw", "prompt": ["a", "b"], "n": 2}
    answer = await made.http.post("/v1/images/generations", json=body)
    assert answer.headers["x-truncated-inputs"] == "1"


@pytest.mark.parametrize(
    ("route", "files", "task", "images", "mask"),
    [
        ("edits", [("image", FIRST)], "image2image", [FIRST], None),
        ("edits", [("image[]", FIRST), ("image[]", SECOND)], "image2image", [FIRST, SECOND], None),
        ("edits", [("images[]", FIRST)], "image2image", [FIRST], None),
        ("edits", [("image", FIRST), ("mask", SECOND)], "inpainting", [FIRST], SECOND),
        ("variations", [("image", FIRST)], "image2image", [FIRST], None),
        ("inpainting", [("image", FIRST), ("mask_image", SECOND)], "inpainting", [FIRST], SECOND),
    ],
)
async def test_forms_bring_pictures_as_files(
    tmp_path: Path,
    route: str,
    files: list[tuple[str, bytes]],
    task: str,
    images: list[bytes],
    mask: bytes | None,
) -> None:
    made = api(tmp_path, drawn(FIRST))
    answer = await made.http.post(
        f"/v1/images/{route}",
        data={"model": "draw", "prompt": "a cat", "n": "2", "size": "original", "strength": "0.5"},
        files=[(field, ("image", data, "application/octet-stream")) for field, data in files],
    )
    assert answer.status_code == 200, answer.text
    request = asked(made)
    assert (request.task, request.n, request.strength) == (task, 2, 0.5)
    assert (request.width, request.height) == (None, None)
    assert [medium.data for medium in request.images] == images
    assert (request.mask.data if request.mask else None) == mask


async def test_a_large_seed_of_a_form_is_taken_to_its_last_digit(tmp_path: Path) -> None:
    made = api(tmp_path, drawn(FIRST))
    seed = 2**63 - 1
    await made.http.post(
        "/v1/images/edits",
        data={"model": "draw", "prompt": "a cat", "seed": str(seed), "n": ""},
        files={"image": FIRST},
    )
    assert (asked(made).seed, asked(made).n) == (seed, 1)


async def test_one_picture_is_drawn_where_no_number_is_said(tmp_path: Path) -> None:
    made = api(tmp_path, drawn(FIRST))
    answer = await made.http.post(
        "/v1/images/generations", json={"model": "draw", "prompt": "a", "n": None}
    )
    assert answer.status_code == 200, answer.text
    assert asked(made).n == 1


async def test_json_brings_pictures_as_urls_and_base64(tmp_path: Path) -> None:
    made = api(tmp_path, drawn(FIRST))
    answer = await made.http.post(
        "/v1/images/edits",
        json={
            "model": "draw",
            "prompt": "a cat",
            "images": [{"image_url": data_url(FIRST)}, base64.b64encode(SECOND).decode()],
        },
    )
    assert answer.status_code == 200, answer.text
    assert asked(made).images == (Media(FIRST, "image[0]"), Media(SECOND, "image[1]"))


async def test_an_edit_without_a_model_takes_one_that_does_it(tmp_path: Path) -> None:
    made = api(tmp_path, drawn(FIRST))
    answer = await made.http.post("/v1/images/edits", data={"prompt": "a"}, files={"image": FIRST})
    assert answer.status_code == 200, answer.text
    nobody = Api(deployment(), home=str(tmp_path))
    refused = await nobody.http.post(
        "/v1/images/edits", data={"prompt": "a"}, files={"image": FIRST}
    )
    assert refused.status_code == 404
    assert refused.json()["error"]["code"] == "model_not_found"


async def test_what_is_given_to_a_model_with_a_controlnet_is_for_that(tmp_path: Path) -> None:
    made = api(tmp_path, drawn(FIRST))
    await made.http.post(
        "/v1/images/variations",
        data={"model": "controlled", "prompt": "a"},
        files={"image": FIRST},
    )
    request = asked(made)
    assert (request.task, request.images) == ("text2image", ())
    assert request.controls == (Media(FIRST, "control_image"),)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"size": "large"}, "size"),
        ({"size": "0x64"}, "size"),
        ({"n": 0}, "n"),
        ({"n": 11}, "n"),
        ({"seed": -2}, "seed"),
        ({"prompt": []}, "prompt"),
        ({"prompt": [1]}, "prompt"),
        ({"response_format": "jpeg"}, "response_format"),
        ({"num_inference_steps": 0}, "num_inference_steps"),
        ({"quality": "hd"}, "quality"),
        ({"background": "transparent"}, "background"),
        ({"model": "echo"}, "model"),
        ({"control_image": "no base64!"}, "control_image"),
        ({"control_image": "file:///etc/passwd"}, "control_image"),
        ({"control_image": []}, "control_image"),
    ],
)
async def test_what_cannot_be_is_refused_by_name(
    tmp_path: Path, body: dict[str, Any], param: str
) -> None:
    made = api(tmp_path)
    answer = await made.http.post(
        "/v1/images/generations", json={"model": "draw", "prompt": "a", **body}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert made.gateway.requests == []


async def test_an_edit_needs_a_picture(tmp_path: Path) -> None:
    made = api(tmp_path)
    for route, field in (("edits", "image"), ("variations", "image"), ("inpainting", "image")):
        answer = await made.http.post(
            f"/v1/images/{route}", data={"model": "draw", "prompt": "a"}, files={"other": FIRST}
        )
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == field


async def test_a_failure_of_one_prompt_is_the_answer(tmp_path: Path) -> None:
    made = api(tmp_path, EngineFailed("It broke."), drawn(FIRST))
    answer = await made.http.post(
        "/v1/images/generations", json={"model": "draw", "prompt": ["a", "b"]}
    )
    assert answer.status_code == 500
    assert answer.json()["detail"] == "It broke."


async def test_a_model_that_is_full_says_when_to_try_again(tmp_path: Path) -> None:
    made = api(tmp_path, Unavailable("Full.", retry_after=3.0))
    answer = await made.http.post("/v1/images/generations", json={"model": "draw", "prompt": "a"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")


async def test_names_of_pictures_need_no_key_and_all_else_does(tmp_path: Path) -> None:
    made = api(tmp_path, drawn(FIRST), api_key="secret")
    refused = await made.http.post("/v1/images/generations", json={"model": "draw", "prompt": "a"})
    assert refused.status_code == 401
    answer = await made.http.post(
        "/v1/images/generations",
        json={"model": "draw", "prompt": "a"},
        headers={"Authorization": "Bearer secret"},
    )
    found = await made.http.get(answer.json()["data"][0]["url"])
    assert found.content == FIRST


@pytest.mark.parametrize("name", ["x.png", "..%2f..%2fstate%2fxinfer.db", "a" * 32, "%00.png"])
async def test_other_names_lead_nowhere(tmp_path: Path, name: str) -> None:
    made = api(tmp_path)
    answer = await made.http.get(f"/v1/images/files/{name}")
    assert answer.status_code == 404


async def test_the_model_tells_what_it_does_as_it_was_loaded(tmp_path: Path) -> None:
    only = deployment("one", type="image", abilities=("text2image",), tasks=TASKS)
    made = Api(only, home=str(tmp_path))
    told = (await made.http.get("/v1/models/one")).json()
    assert told["model_ability"] == ["text2image", "inpainting", "image2image"]
    assert (told["controlnet"], told["model_revision"]) == (None, None)


async def test_progress_of_a_request_is_told_by_its_id(tmp_path: Path) -> None:
    made = api(tmp_path)
    made.gateway.progresses["r1"] = 0.25
    answer = await made.http.get("/v1/requests/r1/progress")
    assert answer.json() == {"progress": 0.25}
    missing = await made.http.get("/v1/requests/r2/progress")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "request_not_found")


async def test_a_client_that_leaves_has_nothing_drawn(tmp_path: Path) -> None:
    made = api(tmp_path)
    made.gateway.admission = asyncio.Event()
    asking = asyncio.create_task(
        made.http.post("/v1/images/generations", json={"model": "draw", "prompt": ["a", "b"]})
    )
    await asyncio.wait_for(made.gateway.waiting.wait(), 30)
    made.drain.expired.set_result(None)
    answer = await asyncio.wait_for(asking, 30)
    assert answer.status_code == 503
    assert made.gateway.given_up == 2


def streamed(*products: Any) -> list[Any]:
    """A script of these, a batch each, and their end."""
    return [*([one] for one in products), [Finished(1, "stop", Usage(7))]]


async def told(made: Api, route: str, **fields: Any) -> list[dict[str, Any]]:
    """The events of a stream, each of the type that its line says."""
    answer = await made.http.post(f"/v1/images/{route}", **fields)
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    found = []
    for frame in answer.text.split("\n\n")[:-1]:
        *name, data = frame.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name in ([f"event: {found[-1].get('type')}"], [])
    return found


async def test_a_stream_shows_a_picture_while_it_is_drawn(tmp_path: Path) -> None:
    made = api(tmp_path)
    made.gateway.scripts.append(
        streamed(Advance(1, 3), Preview(0, 0, SECOND), Picture(0, FIRST, 40, prompt_cut=2))
    )
    body = {"model": "draw", "prompt": "a", "stream": True, "partial_images": 1}
    partial, done = await told(made, "generations", json=body)
    assert asked(made) == ImageRequest(task="text2image", prompt="a", previews=1)
    assert base64.b64decode(partial.pop("b64_json")) == SECOND
    assert partial == {
        "type": "image_generation.partial_image",
        "partial_image_index": 0,
        "index": 0,
        "created_at": done["created_at"],
        "size": "40x30",
        "quality": "auto",
        "background": "opaque",
        "output_format": "png",
    }
    assert done["type"] == "image_generation.completed"
    assert base64.b64decode(done["b64_json"]) == FIRST
    assert (done["seed"], done["truncated_tokens"]) == (40, 2)
    assert done["usage"] == {
        "input_tokens": 7,
        "input_tokens_details": {"text_tokens": 7, "image_tokens": 0},
        "output_tokens": 0,
        "total_tokens": 7,
    }


async def test_a_stream_gives_each_of_several_pictures_and_the_usage_once(tmp_path: Path) -> None:
    made = api(tmp_path)
    made.gateway.scripts.append(streamed(Picture(0, FIRST, 40), Picture(1, SECOND, 41)))
    files = {"image": FIRST}
    fields = {"model": "draw", "prompt": "a", "n": "2", "stream": "true"}
    events = await told(made, "edits", data=fields, files=files)
    assert [one["type"] for one in events] == ["image_edit.completed"] * 2
    assert [one["index"] for one in events] == [0, 1]
    assert [one["usage"]["input_tokens"] for one in events] == [0, 7]
    assert asked(made).images == (Media(FIRST, "image"),)


async def test_the_first_of_several_pictures_does_not_wait_for_the_others(tmp_path: Path) -> None:
    made = api(tmp_path)
    rest = asyncio.Event()
    made.gateway.scripts.append(
        [[Picture(0, FIRST, 40)], rest, *streamed(Picture(1, SECOND, 41))]  # type: ignore[list-item]
    )
    body = {"model": "draw", "prompt": "a", "n": 2, "stream": True}
    exchange = Exchange(made.app, "/v1/images/generations", body)
    async with exchange.running() as task:
        await exchange.receives(b"image_generation.completed")
        assert exchange.body.count(b"event:") == 1
        rest.set()
        await asyncio.wait_for(task, 30)
    assert exchange.body.count(b"event:") == 2


async def test_a_stream_that_fails_says_so_in_its_last_event(tmp_path: Path) -> None:
    made = api(tmp_path)
    made.gateway.scripts += [
        [[Preview(0, 0, FIRST)], EngineFailed("It broke.")],  # type: ignore[list-item]
        streamed(),
        Unavailable("Full.", retry_after=3.0),
    ]
    body = {"model": "draw", "prompt": "a", "stream": True}
    for words in ("It broke.", "without its last picture"):
        events = await told(made, "generations", json=body)
        assert words in events[-1]["error"]["message"]
    refused = await made.http.post("/v1/images/generations", json=body)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "3")


@pytest.mark.parametrize(
    ("route", "more", "param"),
    [
        ("generations", {"partial_images": 1}, "partial_images"),
        ("generations", {"stream": True, "partial_images": 4}, "partial_images"),
        ("generations", {"stream": True, "prompt": ["a", "b"]}, "prompt"),
        ("generations", {"stream": True, "response_format": "url"}, "response_format"),
        ("variations", {"stream": True}, "stream"),
        ("inpainting", {"stream": True}, "stream"),
    ],
)
async def test_what_is_no_stream_is_refused_by_name(
    tmp_path: Path, route: str, more: dict[str, Any], param: str
) -> None:
    made = api(tmp_path)
    given = {"image": data_url(FIRST), "mask_image": data_url(FIRST)}
    body = {"model": "draw", "prompt": "a", **(given if route != "generations" else {}), **more}
    answer = await made.http.post(f"/v1/images/{route}", json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param), answer.text
    assert made.gateway.requests == []


async def test_pictures_whose_answer_failed_are_not_kept(tmp_path: Path) -> None:
    made = api(tmp_path, drawn(FIRST), EngineFailed("It broke."))
    body = {"model": "draw", "prompt": ["a", "b"]}
    answer = await made.http.post("/v1/images/generations", json=body)
    assert answer.status_code == 500
    assert kept(tmp_path) == []


def test_a_picture_that_is_written_while_its_answer_fails_is_not_kept(tmp_path: Path) -> None:
    store = ImageStore(Settings(home=str(tmp_path)))
    gallery = Gallery(store)
    write, closing = store.put, threading.Thread(target=gallery.close)

    def put(data: bytes) -> str:
        closing.start()
        closing.join(0.2)  # in vain, if it waits for this picture
        return write(data)

    store.put = put  # type: ignore[method-assign]
    gallery.put(Picture(0, FIRST, 1))
    closing.join()
    gallery.put(Picture(1, SECOND, 1))
    assert kept(tmp_path) == []


async def test_pictures_of_an_attempt_that_was_lost_are_not_kept(tmp_path: Path) -> None:
    gallery = Gallery(ImageStore(Settings(home=str(tmp_path))))
    lost, kept = gallery.keeper(), gallery.keeper()
    await lost.keep(Picture(0, FIRST, 1))
    await kept.keep(Picture(0, SECOND, 1))
    gallery.discard(kept.entries)
    [file] = (tmp_path / "image").iterdir()
    assert file.read_bytes() == SECOND
    gallery.close()
