"""Pictures and sound in the playground, on the models that ship with xinfer, on one that speaks
noise and on one that sees and understands nothing. What a pane sends is read where it leaves the
page."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import HTTP
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import FilePayload, Locator, Page, Playwright, Request, Route, expect

from tests.browser.accessibility import violations
from tests.browser.actions import answer_of, say
from tests.browser.conftest import Shoot, chromium
from tests.support.digits import right, samples
from tests.support.pictures import noise, png
from tests.support.seeing_models import seeing_model
from tests.support.server import Server
from tests.support.sounds import RATE, wav
from tests.support.speech_models import make_vits
from tests.support.waiting import eventually

pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")

DRAWS, HEARS, SPEAKS, SEES = "page-draws", "page-hears", "page-speaks", "page-sees"
SIDE = 32
"""Pixels of the pictures that tiny-image draws."""
WORK_MS = 120_000


@pytest.fixture(scope="module")
def media(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server with a model that draws, one that listens, one that speaks and one that sees."""
    made = tmp_path_factory.mktemp("models")
    speaker, seer = make_vits(made / "vits", speakers=2), seeing_model("llava", made / "llava")
    launches = {
        DRAWS: partial(server.launch, "tiny-image", model_type="image"),
        HEARS: partial(server.launch, "tiny-whisper", model_type="audio"),
        SPEAKS: partial(server.launch, str(speaker), model_type="audio"),
        SEES: partial(server.launch, str(seer)),
    }
    with ThreadPoolExecutor() as threads:  # most of the time passes with imports
        ready = [
            threads.submit(launch, model_uid=uid, n_threads=1) for uid, launch in launches.items()
        ]
    assert [one.result() for one in ready] == list(launches)
    yield server
    for uid in launches:
        server.terminate(uid)


def opened(page: Page, server: Server, uid: str) -> None:
    page.goto(f"{server.url}/#/playground/{uid}")
    expect(page.get_by_role("combobox", name="Model", exact=True)).to_have_value(uid)


@contextmanager
def asking(page: Page, path: str) -> Iterator[list[Request]]:
    """The requests to a path, which go on to the server: on their way they have their files."""
    asked: list[Request] = []

    def pass_on(route: Route) -> None:
        asked.append(route.request)
        route.continue_()

    page.route(f"**{path}", pass_on)
    yield asked
    page.unroute(f"**{path}")


def drawn(page: Page, prompt: str, path: str = "/v1/images/edits") -> Request:
    """Have a prompt drawn, wait for the picture, and return the request that asked for it."""
    page.get_by_role("textbox", name="What to draw", exact=True).fill(prompt)
    with asking(page, path) as asked:
        page.get_by_role("button", name="Draw").click()
        expect(page.get_by_role("img", name=prompt).first).to_be_visible(timeout=WORK_MS)
    (request,) = asked
    return request


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


def pixels(page: Page, url: str, *points: tuple[int, int]) -> list[list[int]]:
    """Red, green, blue and alpha, 0 to 255, at these points of a picture of SIDE by SIDE."""
    found: list[list[int]] = page.evaluate(
        """async ([url, side, points]) => {
          const image = new Image()
          image.src = url
          await image.decode()
          if (image.width !== side || image.height !== side) throw new Error('another size')
          const context = new OffscreenCanvas(side, side).getContext('2d')
          context.drawImage(image, 0, 0)
          return points.map(([x, y]) => [...context.getImageData(x, y, 1, 1).data])
        }""",
        [url, SIDE, points],
    )
    return found


def opacity(page: Page, mask: bytes, *points: tuple[int, int]) -> list[int]:
    url = "data:image/png;base64," + base64.b64encode(mask).decode()
    return [alpha for *_, alpha in pixels(page, url, *points)]


def choose(page: Page, label: str, file: FilePayload) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=label).click()
    chooser.value.set_files(file)


def png_called(name: str, content: bytes) -> FilePayload:
    return FilePayload(name=name, mimeType="image/png", buffer=content)


def painter(page: Page) -> Locator:
    layer = page.get_by_role("application", name="Mask on the picture")
    expect(layer).to_have_js_property("width", SIDE)
    return layer


def test_pictures_are_drawn_after_a_text_as_it_was_set(
    page: Page, media: Server, shoot: Shoot
) -> None:
    opened(page, media, DRAWS)
    expect(page.get_by_role("combobox", name="Size")).to_contain_text("the model’s own, 32x32")
    page.get_by_role("textbox", name="Pictures").fill("2")
    page.get_by_text("Settings: what not to draw").click()
    page.get_by_role("textbox", name="What not to draw").fill("a star")
    page.get_by_role("textbox", name="seed").fill("7")
    page.get_by_role("combobox", name="sampler_name").select_option("euler")
    request = drawn(page, "a red square", "/v1/images/generations")
    assert request.post_data_json == {
        "model": DRAWS,
        "prompt": "a red square",
        "n": 2,
        "size": "auto",
        "negative_prompt": "a star",
        "seed": 7,
        "sampler_name": "euler",
        "response_format": "b64_json",
    }
    pictures = page.get_by_role("img", name="a red square")
    expect(pictures).to_have_count(2)
    expect(page.get_by_text("seed 8")).to_be_visible()
    [[red, green, blue, _]] = pixels(page, pictures.first.get_attribute("src") or "", (16, 16))
    assert red > green + 50
    assert red > blue + 50
    assert violations(page) == []
    page.get_by_text("The request: POST /v1/images/generations").click()
    expect(page.get_by_role("group", name="curl")).to_contain_text('"negative_prompt": "a star"')
    page.get_by_text("The request: POST /v1/images/generations").click()
    page.get_by_text("Settings: what not to draw").click()

    page.get_by_role("button", name="Change it").first.click()
    layer = painter(page)
    box = layer.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 30, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 30, box["y"] + 200, steps=4)
    page.mouse.up()
    page.mouse.move(0, 0)
    shoot("image")


def test_how_far_a_drawing_is_can_be_seen_and_it_can_be_stopped(page: Page, media: Server) -> None:
    opened(page, media, DRAWS)
    page.get_by_role("textbox", name="What to draw", exact=True).fill("a red square")
    page.get_by_role("textbox", name="Pictures").fill("10")
    page.get_by_text("Settings: what not to draw").click()
    page.get_by_role("textbox", name="num_inference_steps").fill("500")  # minutes of drawing
    page.get_by_role("button", name="Draw").click()
    expect(page.get_by_role("progressbar", name="Progress of the request")).to_be_visible()
    expect(page.get_by_text("Working")).to_be_visible(timeout=WORK_MS)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_text("Working")).to_have_count(0)
    eventually(
        lambda: all(one.get("running") == 0 for one in media.replicas(DRAWS)),
        30,
        "the end of a drawing that was stopped",
    )


def test_a_picture_is_drawn_anew_and_then_a_part_of_it(page: Page, media: Server) -> None:
    given = png(noise(1, SIDE, SIDE))
    opened(page, media, DRAWS)
    choose(page, "Picture to change", png_called("given.png", given))
    layer = painter(page)
    page.get_by_text("Settings: what not to draw").click()
    page.get_by_role("textbox", name="strength").fill("0.9")
    form = form_of(drawn(page, "a blue square"))
    assert form["image"] == given
    assert (form["strength"], form.get("mask")) == (b"0.9", None)

    box = layer.bounding_box()
    assert box is not None
    assert box["width"] >= 256  # large enough to paint on
    page.mouse.move(box["x"] + 4, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)
    page.mouse.up()
    form = form_of(drawn(page, "a green square"))
    assert opacity(page, form["mask"], (4, 16), (28, 16)) == [0, 255]
    assert violations(page) == []


def test_a_mask_is_painted_with_keys(page: Page, media: Server) -> None:
    opened(page, media, DRAWS)
    choose(page, "Picture to change", png_called("given.png", png(noise(2, SIDE, SIDE))))
    layer = painter(page)
    layer.focus()
    for _ in range(5):  # each half of the brush, which is 40 of 256 pixels wide
        page.keyboard.press("ArrowLeft")
    expect(page.get_by_text("11 % from the left, 50 % from the top")).to_be_attached()
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowDown")
    page.get_by_text("The request: POST /v1/images/edits").click()
    expect(page.get_by_role("group", name="curl")).to_contain_text("mask=@mask.png")
    form = form_of(drawn(page, "a red heart"))
    assert opacity(page, form["mask"], (3, 16), (3, 18), (28, 16)) == [0, 0, 255]
    layer.focus()
    page.keyboard.press("Delete")
    expect(page.get_by_role("group", name="curl")).not_to_contain_text("mask")
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Clear the mask")).to_be_enabled()
    page.get_by_role("switch", name="Erase").check()
    layer.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name="Clear the mask")).to_be_disabled()


def test_a_mask_comes_from_a_file(page: Page, media: Server) -> None:
    opened(page, media, DRAWS)
    choose(page, "Picture to change", png_called("given.png", png(noise(3, SIDE, SIDE))))
    painter(page)
    white_on_black = np.zeros((8, 8, 3), np.uint8)  # of another size than the picture
    white_on_black[:, 4:] = 255
    choose(page, "Mask from a file", png_called("no.png", b"no picture"))
    expect(page.get_by_role("alert")).to_have_text("no.png cannot be read as a picture.")
    choose(page, "Mask from a file", png_called("half.png", png(white_on_black)))
    expect(page.get_by_role("button", name="Clear the mask")).to_be_enabled()
    expect(page.get_by_role("alert")).to_have_count(0)
    form = form_of(drawn(page, "a red heart"))
    assert opacity(page, form["mask"], (2, 16), (29, 16)) == [255, 0]


def test_a_file_is_written_down_with_times(page: Page, media: Server, shoot: Shoot) -> None:
    spoken = next(one for one in right("en") if len(set(one.digits)) > 2)
    opened(page, media, HEARS)
    content = spoken.file.read_bytes()
    choose(page, "Sound", FilePayload(name="said.ogg", mimeType="audio/ogg", buffer=content))
    page.get_by_role("combobox", name="Language").select_option(label="English")
    page.get_by_role("checkbox", name="With times").check()
    heard = page.get_by_role("region", name="What was said")
    with asking(page, "/v1/audio/transcriptions") as asked:
        page.get_by_role("button", name="Transcribe").click()
        expect(heard.get_by_role("paragraph")).to_have_text(spoken.said, timeout=WORK_MS)
    expect(heard.get_by_role("row").first).to_contain_text("0:00")
    form = form_of(asked[0])
    assert form["file"] == content
    assert (form["language"], form["response_format"]) == (b"en", b"verbose_json")
    assert violations(page) == []
    shoot("audio")


def test_what_is_said_into_the_microphone_is_written_down(
    playwright: Playwright, media: Server, tmp_path: Path
) -> None:
    spoken = right("en")[0]
    quiet = np.zeros(RATE, np.int16)
    sound = np.concatenate([quiet, samples(spoken), quiet])
    (tmp_path / "said.wav").write_bytes(wav(sound))
    # What Chromium takes for a microphone plays the file once recording begins, again and again.
    played = f"--use-file-for-fake-audio-capture={tmp_path / 'said.wav'}"
    with chromium(playwright, played) as browser:
        page = browser.new_page(locale="en-US")
        opened(page, media, HEARS)
        page.get_by_role("button", name="Record", exact=True).click()
        expect(page.get_by_role("timer")).to_have_text(
            f"{len(sound) // RATE + 1} s recorded", timeout=WORK_MS
        )
        page.get_by_role("button", name="Stop recording").click()
        expect(page.get_by_label("The sound")).to_be_visible()
        page.get_by_role("button", name="Transcribe").click()
        heard = page.get_by_role("region", name="What was said")
        expect(heard).to_contain_text(spoken.said, timeout=WORK_MS)


def test_a_microphone_that_is_withheld_is_said_to_be_so(page: Page, media: Server) -> None:
    page.add_init_script(
        "navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('Not today.'))"
    )
    opened(page, media, HEARS)
    page.get_by_role("button", name="Record", exact=True).click()
    expect(page.get_by_role("alert")).to_have_text("Not today.")


def test_a_microphone_that_is_given_after_its_user_has_left_is_given_back(
    page: Page, media: Server
) -> None:
    page.add_init_script("""
        const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices)
        window.tracks = []
        window.asked = []
        navigator.mediaDevices.getUserMedia = async (what) => {
          await new Promise((allow) => window.asked.push(allow))
          const stream = await ask(what)
          window.tracks.push(...stream.getTracks())
          return stream
        }
    """)
    opened(page, media, HEARS)
    record = page.get_by_role("button", name="Record", exact=True)
    record.click()
    record.click()  # in vain: the browser asks already
    page.get_by_role("link", name="Cluster").click()
    expect(record).to_have_count(0)
    page.evaluate("for (const allow of window.asked) allow()")
    page.wait_for_function("() => window.tracks[0]?.readyState === 'ended'")
    assert page.evaluate("window.asked.length") == 1


def test_a_text_is_spoken(page: Page, media: Server) -> None:
    opened(page, media, SPEAKS)
    page.get_by_role("textbox", name="What to say").fill("Hello, everybody.")
    page.get_by_role("combobox", name="Voice").select_option("1")
    page.get_by_role("combobox", name="Format").select_option("flac")
    speech = page.get_by_label("The speech")
    with asking(page, "/v1/audio/speech") as asked:
        page.get_by_role("button", name="Speak").click()
        expect(speech).to_be_visible(timeout=WORK_MS)
    page.wait_for_function(
        "(audio) => audio.duration > 0.1", arg=speech.element_handle(), timeout=WORK_MS
    )
    assert asked[0].post_data_json == {
        "model": SPEAKS,
        "input": "Hello, everybody.",
        "voice": "1",
        "response_format": "flac",
        "speed": 1,
    }
    expect(page.get_by_role("link", name="Save")).to_have_attribute("download", "speech.flac")
    assert violations(page) == []

    page.get_by_role("textbox", name="What to say").fill("word " * 5000)  # more than is taken
    with page.expect_response(lambda response: response.status == 400):
        page.get_by_role("button", name="Speak").click()
    expect(page.get_by_role("alert")).to_contain_text("20000 characters")


def test_pictures_are_shown_to_a_model_that_sees(page: Page, media: Server) -> None:
    opened(page, media, SEES)
    page.get_by_text("Settings: system prompt").click()
    page.get_by_role("textbox", name="max_tokens").fill("8")
    page.get_by_text("Settings: system prompt").click()
    first, second = png(noise(4, SIDE, SIDE)), png(noise(5, SIDE, SIDE))
    choose(page, "Add pictures", png_called("first.png", first))
    choose(page, "Add pictures", png_called("second.png", second))
    page.get_by_role("button", name="Remove picture 1").click()
    with asking(page, "/v1/chat/completions") as asked:
        say(page, "What is it?")
        expect(answer_of(page, SEES)).to_contain_text("tokens", timeout=WORK_MS)
    (message,) = asked[0].post_data_json["messages"]
    picture, text = message["content"]
    url = "data:image/png;base64," + base64.b64encode(second).decode()
    assert (picture["image_url"]["url"], text["text"]) == (url, "What is it?")
    said = page.get_by_role("article", name="You")
    expect(said.get_by_role("img", name="Picture")).to_have_js_property("naturalWidth", SIDE)
