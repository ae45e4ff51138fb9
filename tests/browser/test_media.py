"""Panes for pictures and sound. The models are played by this test: what the panes send is what
OpenAI's API takes, and what they show is what it answers."""

from __future__ import annotations

import base64
import io
import wave
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.accessibility import violations
from tests.support.pictures import noise, png
from tests.support.server import Server

SMALL = png(noise(1, 8, 8))
WIDE = png(noise(2, 64, 32))


def play(page: Page, kind: str, abilities: list[str]) -> None:
    """Let the page see one model, of this type."""
    instance = {
        "model_name": "played",
        "model_uid": "played",
        "model_type": kind,
        "model_ability": abilities,
        "model_engine": "none",
        "engine_reason": "",
        "model_format": "",
        "model_size_in_billions": None,
        "quantization": "none",
        "replica": 1,
        "status": "READY",
        "error_message": None,
        "instance_created_ts": 0,
        "replica_statuses": [],
    }
    page.route("**/v1/models/instances", lambda route: route.fulfill(json=[instance]))


def answer(page: Page, path: str, **response: Any) -> list[Request]:
    """Answer requests to `path`; they are in the list that is returned."""
    asked: list[Request] = []

    def fulfil(route: Route) -> None:
        asked.append(route.request)
        route.fulfill(**response)

    page.route(f"**{path}", fulfil)
    return asked


def form_of(request: Request) -> dict[str, bytes]:
    """The fields of a multipart form, files as their content."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    body = request.post_data_buffer
    assert body is not None
    message = BytesParser(EmailMessage, policy=HTTP).parsebytes(head + body)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in message.iter_parts()
    }


def test_a_picture_is_drawn_after_a_text(page: Page, server: Server) -> None:
    play(page, "image", ["text2image"])
    picture = base64.b64encode(SMALL).decode()
    asked = answer(page, "/v1/images/generations", json={"data": [{"b64_json": picture}]})
    page.goto(f"{server.url}/#/playground/played")
    page.get_by_role("textbox", name="What to draw").fill("a red square")
    expect(page.get_by_text("Picture to change")).to_have_count(0)
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("img", name="a red square")).to_have_js_property("naturalWidth", 8)
    (request,) = asked
    assert request.post_data_json == {
        "model": "played",
        "prompt": "a red square",
        "n": 1,
        "size": "auto",
        "response_format": "b64_json",
    }


def test_what_is_painted_of_a_picture_is_drawn_anew(page: Page, server: Server) -> None:
    play(page, "image", ["text2image", "image2image", "inpainting"])
    drawn = base64.b64encode(SMALL).decode()
    asked = answer(page, "/v1/images/edits", json={"data": [{"b64_json": drawn}]})
    page.goto(f"{server.url}/#/playground/played")
    page.get_by_role("textbox", name="What to draw").fill("a hat")
    source = {"name": "cat.png", "mimeType": "image/png", "buffer": WIDE}
    page.locator("input[type=file]").set_input_files(source)  # type: ignore[arg-type]
    layer = page.get_by_role("img", name="Mask on the picture")
    expect(layer).to_have_js_property("width", 64)
    box = layer.bounding_box()
    assert box is not None
    page.mouse.move(box["x"], box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.up()
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("img", name="a hat")).to_be_visible()
    assert violations(page) == []
    form = form_of(asked[0])
    assert (form["model"], form["prompt"], form["image"]) == (b"played", b"a hat", WIDE)
    mask = "data:image/png;base64," + base64.b64encode(form["mask"]).decode()
    assert alphas(page, mask, [(4, 16), (60, 16)]) == [0, 255]


def alphas(page: Page, url: str, points: list[tuple[int, int]]) -> list[int]:
    """How opaque a picture of 64 by 32 is at these points, 0 to 255."""
    found: list[int] = page.evaluate(
        """async ([url, points]) => {
          const image = new Image()
          image.src = url
          await image.decode()
          if (image.width !== 64 || image.height !== 32) throw new Error('another size')
          const context = new OffscreenCanvas(64, 32).getContext('2d')
          context.drawImage(image, 0, 0)
          return points.map(([x, y]) => context.getImageData(x, y, 1, 1).data[3])
        }""",
        [url, points],
    )
    return found


def test_what_is_recorded_is_written_down(page: Page, server: Server) -> None:
    play(page, "audio", ["audio2text"])
    asked = answer(page, "/v1/audio/transcriptions", json={"text": "beep"})
    page.goto(f"{server.url}/#/playground/played")
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_role("button", name="Stop recording")).to_be_visible()
    page.wait_for_timeout(700)  # what is recorded meanwhile is the sound
    page.get_by_role("button", name="Stop recording").click()
    expect(page.get_by_label("The sound")).to_be_visible()
    page.get_by_role("button", name="Transcribe").click()
    expect(page.get_by_role("region", name="What was said")).to_have_text("beep")
    assert violations(page) == []
    form = form_of(asked[0])
    assert (form["model"], form["response_format"]) == (b"played", b"json")
    with wave.open(io.BytesIO(form["file"])) as sound:
        assert (sound.getnchannels(), sound.getframerate(), sound.getsampwidth()) == (1, 16000, 2)


def test_a_text_is_spoken(page: Page, server: Server) -> None:
    play(page, "audio", ["text2audio"])
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16000)
        sound.writeframes(bytes(3200))
    asked = answer(page, "/v1/audio/speech", body=file.getvalue(), content_type="audio/wav")
    page.goto(f"{server.url}/#/playground/played")
    page.get_by_role("textbox", name="What to say").fill("Hello.")
    page.get_by_role("button", name="Speak").click()
    expect(page.get_by_label("The speech")).to_have_js_property("duration", 0.1)
    (request,) = asked
    assert request.post_data_json == {
        "model": "played",
        "input": "Hello.",
        "voice": "",
        "response_format": "wav",
        "speed": 1,
    }


@pytest.mark.parametrize(
    ("path", "kind", "button", "label"),
    [
        ("/v1/images/generations", "image", "Draw", "What to draw"),
        ("/v1/audio/speech", "audio", "Speak", "What to say"),
    ],
)
def test_a_refusal_is_said_in_place(
    page: Page, server: Server, path: str, kind: str, button: str, label: str
) -> None:
    play(page, kind, ["text2image", "text2audio"])
    error = {"error": {"message": "That cannot be."}, "detail": "That cannot be."}
    answer(page, path, status=400, json=error)
    page.goto(f"{server.url}/#/playground/played")
    page.get_by_role("textbox", name=label).fill("anything")
    page.get_by_role("button", name=button).click()
    expect(page.get_by_role("alert")).to_have_text("That cannot be.")
