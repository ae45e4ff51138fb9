"""Register Model: from files of the server, by form and by JSON."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.actions import registered_model, running_model
from tests.support.markdown import ROOT
from tests.support.server import Server

TINY_CHAT = ROOT / "xinfer/model/catalog/weights/tiny-chat/tiny-chat-f16.gguf"
MARKUP = "<img src=x onerror=\"document.title='broken into'\"><b>bold</b>"


def test_files_are_read_described_registered_and_forgotten(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/#/register")
    page.get_by_role("textbox", name="Path of a file or directory").fill(str(TINY_CHAT))
    page.get_by_role("button", name="Read files").click()
    name = page.get_by_role("textbox", name="Model name")
    expect(name).to_have_value("tiny-chat-f16")
    name.fill("my-own")
    page.get_by_role("tab", name="JSON").click()
    expect(page.get_by_role("textbox", name="JSON")).to_have_value(
        re.compile('"model_name": "my-own"')
    )
    page.get_by_role("button", name="Register", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("my-own is registered.")
    expect(page.get_by_role("article", name="my-own")).to_be_visible()

    page.goto(f"{server.url}/#/launch")
    page.get_by_role("tab", name="Custom").click()
    page.get_by_role("button", name="my-own", exact=True).click()
    form = page.get_by_role("dialog", name="my-own")
    expect(form.get_by_text("Its files are on this machine.")).to_be_visible()

    page.goto(f"{server.url}/#/register")
    page.get_by_role("button", name="Unregister my-own").click()
    expect(page.get_by_role("article", name="my-own")).to_have_count(0)


def test_a_wrong_description_is_refused_in_place(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/#/register")
    page.get_by_role("tab", name="JSON").click()
    text = page.get_by_role("textbox", name="JSON")
    text.fill("[")
    expect(page.get_by_text("This is not an object in JSON.")).to_be_visible()
    text.fill('{"model_name": "a/b"}')
    page.get_by_role("button", name="Register", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("model_name")


def test_markup_in_what_models_are_called_is_text(page: Page, server: Server) -> None:
    description = {
        "model_name": "evil<b>",
        "model_description": MARKUP,
        "model_ability": ["chat"],
        "model_specs": [{"model_format": "ggufv2", "model_uri": TINY_CHAT.as_uri()}],
    }
    with (
        registered_model(server, **description) as name,
        running_model(server, model_name="echo", model_uid="<b>uid<b>") as uid,
    ):
        page.goto(f"{server.url}/#/launch")
        page.get_by_role("tab", name="Custom").click()
        shown = page.get_by_role("article").filter(has_text=name)
        expect(shown).to_contain_text(MARKUP)
        page.get_by_role("button", name=name, exact=True).click()
        expect(page.get_by_role("dialog", name=name)).to_contain_text(MARKUP)
        page.goto(f"{server.url}/#/running")
        expect(page.get_by_role("heading", name=uid)).to_be_visible()
        page.goto(f"{server.url}/#/playground")
        expect(page.get_by_role("combobox", name="Model")).to_contain_text(uid)
        expect(page.locator("main b, main img[src=x]")).to_have_count(0)
    assert "broken into" not in page.title()
