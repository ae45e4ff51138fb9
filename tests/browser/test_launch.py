"""Launch Model: the catalogue, what a launch can say, and what becomes of it."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.actions import card, configure, running_model
from tests.browser.conftest import Shoot
from tests.support.fake_hub import fake_hub
from tests.support.markdown import ROOT
from tests.support.server import Server, running_server

LAUNCH_MS = 60_000
TINY_CHAT = ROOT / "xinfer/model/catalog/weights/tiny-chat/tiny-chat-f16.gguf"


def test_a_model_is_launched_as_it_was_filled_in_and_terminated(
    page: Page, server: Server, shoot: Shoot
) -> None:
    page.goto(f"{server.url}/")
    expect(page.get_by_role("article").first).to_be_visible()
    shoot("launch")
    form = configure(page, "tiny-chat")
    expect(form.get_by_text("Its files are on this machine.")).to_be_visible()
    expect(form.get_by_role("progressbar", name="Memory of a replica")).to_be_visible()
    form.get_by_role("combobox", name="Model Engine").select_option("xllamacpp")
    form.get_by_role("combobox", name="Model Format").select_option("ggufv2")
    form.get_by_role("combobox", name="Model Size").select_option("0.0021")
    form.get_by_role("combobox", name="Quantization").select_option("F16")
    form.get_by_role("combobox", name="N-GPU").select_option("none")
    form.get_by_role("textbox", name="Model UID").fill("page-chat")
    form.get_by_role("textbox", name="Replica").fill("2")
    form.get_by_text("Advanced options").click()
    form.get_by_role("textbox", name="n_ctx").fill("512")
    form.get_by_text("The same from a command line").click()
    expect(form.get_by_role("group", name="xinference")).to_have_text(
        f"xinference launch --endpoint {server.url} --model-name tiny-chat --model-uid page-chat "
        "--model-engine xllamacpp --model-format ggufv2 --size-in-billions 0.0021 "
        "--quantization F16 --n-gpu none --replica 2 --n_ctx 512"
    )
    form.get_by_text("Advanced options").click()
    expect(form.get_by_text("weights 4.2 MiB, KV cache 2.5 MiB")).to_be_visible()
    expect(form.get_by_text("2 replicas take")).to_be_visible()
    form.evaluate("(form) => form.scrollTo(0, 0)")
    shoot("launch-form")
    form.get_by_role("button", name="Launch").click()

    expect(page.get_by_role("heading", name="Running Models")).to_be_visible()
    model = card(page, "page-chat")
    expect(model.get_by_role("status")).to_have_text("Ready", timeout=LAUNCH_MS)
    expect(model).to_contain_text("2 replicas")
    described = server.http.get("/v1/models/page-chat").json()
    assert (described["context_length"], described["quantization"]) == (512, "F16")

    model.get_by_role("button", name="Terminate page-chat").click()
    dialog = page.get_by_role("dialog", name="Terminate page-chat?")
    dialog.get_by_role("button", name="Terminate").click()
    expect(model).to_have_count(0, timeout=LAUNCH_MS)


def test_the_catalogue_is_searched_and_filtered_and_what_is_here_comes_first(
    page: Page, server: Server
) -> None:
    page.goto(f"{server.url}/#/launch")
    cards = page.get_by_role("article")
    expect(cards.first).to_contain_text("Starts offline")
    page.get_by_role("searchbox", name="Search models").fill("vl-chat")
    expect(page.get_by_role("button", name="qwen2.5-vl-instruct", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="tiny-chat", exact=True)).to_have_count(0)
    page.get_by_role("searchbox", name="Search models").fill("")
    page.get_by_role("combobox", name="Ability").select_option("tools")
    page.get_by_role("checkbox", name="On this machine only").check()
    expect(cards).to_have_count(1)
    expect(cards).to_contain_text("tiny-chat")
    for tab, name in (("Embedding", "tiny-embed"), ("Rerank", "tiny-rerank")):
        page.get_by_role("tab", name=tab).click()
        expect(cards.first).to_contain_text(name)
    page.get_by_role("tab", name="Image").click()
    expect(page.get_by_role("status")).to_contain_text("models")
    page.get_by_role("tab", name="Custom").click()
    expect(page.get_by_text("No model of your own is registered.")).to_be_visible()


def test_a_path_is_launched_and_one_that_is_not_there_is_said_to_be_so(
    page: Page, server: Server
) -> None:
    page.goto(f"{server.url}/#/launch")
    box = page.get_by_role("textbox", name="Model by name, path or repository")
    box.fill("/nowhere/model.gguf")
    page.get_by_role("button", name="Configure").click()
    form = page.get_by_role("dialog", name="/nowhere/model.gguf")
    expect(form.get_by_role("alert").first).to_contain_text("/nowhere/model.gguf")
    page.keyboard.press("Escape")
    expect(form).to_have_count(0)
    box.fill(str(TINY_CHAT))
    box.press("Enter")
    form = page.get_by_role("dialog", name=str(TINY_CHAT))
    expect(form.get_by_text("is the first engine here")).to_be_visible()


def test_engines_that_cannot_run_a_model_say_why(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/#/launch/tiny-embed")
    form = page.get_by_role("dialog", name="tiny-embed")
    form.get_by_text("Engines that cannot run it here").click()
    expect(form.get_by_role("listitem").filter(has_text="vllm: ")).to_contain_text("it runs")


def test_a_refused_launch_says_why_in_place(page: Page, server: Server) -> None:
    with running_model(server, model_name="echo", model_uid="taken") as uid:
        page.goto(f"{server.url}/#/launch")
        form = configure(page, "echo")
        form.get_by_role("textbox", name="Model UID").fill(uid)
        with page.expect_response(lambda response: response.status == 409):
            form.get_by_role("button", name="Launch").click()
        expect(form.get_by_role("alert")).to_contain_text("taken")


def test_an_option_that_cannot_be_is_pointed_out(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/#/launch/echo")
    form = page.get_by_role("dialog", name="echo")
    form.get_by_text("Advanced options").click()
    form.get_by_role("textbox", name="Priority").fill("soon")
    expect(form.get_by_text("This is not a value that priority can have.")).to_be_visible()
    expect(form.get_by_role("button", name="Launch")).to_be_disabled()


def test_a_launch_shows_how_far_it_is_and_can_be_cancelled(page: Page, server: Server) -> None:
    body = {"model_name": "echo", "model_uid": "slow", "load_seconds": 600}
    server.http.post("/v1/models", params={"wait_ready": False}, json=body).raise_for_status()
    page.goto(f"{server.url}/#/running")
    model = card(page, "slow")
    progress = model.get_by_role("progressbar", name="Launch progress of slow")
    expect(progress).to_have_attribute("aria-valuetext", "0%")
    expect(model.get_by_text("Loading", exact=True).first).to_be_visible()
    model.get_by_role("button", name="Cancel launch of slow").click()
    expect(model).to_have_count(0, timeout=LAUNCH_MS)


def test_a_repository_is_downloaded_while_its_progress_is_shown(page: Page, tmp_path: Path) -> None:
    own = {"HF_HOME": str(tmp_path / "hf"), "MODELSCOPE_CACHE": str(tmp_path / "ms")}
    with fake_hub() as hub, running_server(**hub.environment, **own) as server:
        hub.add("owner/tiny", {"tiny-F16.gguf": TINY_CHAT.read_bytes()})
        page.goto(f"{server.url}/")
        page.get_by_role("textbox", name="Model by name, path or repository").fill("owner/tiny")
        page.get_by_role("button", name="Configure").click()
        form = page.get_by_role("dialog", name="owner/tiny")
        expect(form.get_by_text("It will be downloaded: 4.2 MiB.")).to_be_visible()
        hub.gate_after = 2 << 20
        hub.gate.clear()
        form.get_by_role("button", name="Launch").click()
        model = page.get_by_role("article", name="tiny")
        expect(model.get_by_text("Downloading")).to_be_visible()
        expect(model.get_by_text("2.0 MiB of 4.2 MiB")).to_be_visible()
        file = model.get_by_role("progressbar", name="Download of tiny-F16.gguf")
        expect(file).to_be_visible()
        hub.gate.set()
        expect(model.get_by_role("status")).to_have_text("Ready", timeout=LAUNCH_MS)
        page.goto(f"{server.url}/#/launch/owner%2Ftiny")
        expect(page.get_by_text("Its files are on this machine.")).to_be_visible()
