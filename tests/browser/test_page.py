"""The page, as a person uses it: everything is found by what it is called, not by its markup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.server import Server

LAUNCH_MS = 30_000


@contextmanager
def running_model(server: Server, **launch: Any) -> Iterator[str]:
    """A model launched through the API, for tests of what comes after; terminated at the end."""
    answer = httpx.post(f"{server.url}/v1/models", json=launch, timeout=60.0, trust_env=False)
    answer.raise_for_status()
    uid = answer.json()["model_uid"]
    try:
        yield uid
    finally:
        httpx.delete(f"{server.url}/v1/models/{uid}", timeout=60.0, trust_env=False)


def card(page: Page, uid: str) -> Locator:
    """The model's card in Running."""
    return page.get_by_role("article", name=uid, exact=True)


def say(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Message").fill(text)
    page.get_by_role("button", name="Send").click()


def test_a_model_is_launched_chatted_with_and_terminated(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/")
    page.get_by_role("button", name="echo", exact=True).click()
    expect(page.get_by_role("textbox", name="Model").first).to_have_value("echo")
    page.get_by_role("textbox", name="Model UID").fill("page-echo")
    page.get_by_role("button", name="Launch").click()

    model = card(page, "page-echo")
    expect(page.get_by_role("heading", name="Running models")).to_be_visible()
    expect(model.get_by_role("status")).to_have_text("Ready", timeout=LAUNCH_MS)

    model.get_by_role("link", name="Chat with page-echo").click()
    expect(page.get_by_role("combobox", name="Model")).to_have_value("page-echo")
    say(page, "hello page")
    answer = page.get_by_role("log", name="Conversation").get_by_role("article", name="page-echo")
    expect(answer).to_contain_text("hello page")
    expect(answer).to_contain_text("tokens/s")
    expect(page.get_by_role("button", name="Send")).to_be_visible()

    page.get_by_role("link", name="Running").click()
    model.get_by_role("button", name="Terminate page-echo").click()
    dialog = page.get_by_role("dialog", name="Terminate page-echo?")
    dialog.get_by_role("button", name="Terminate").click()
    expect(model).to_have_count(0, timeout=LAUNCH_MS)


def test_stop_ends_a_long_answer_and_keeps_what_was_said(page: Page, server: Server) -> None:
    with running_model(
        server, model_name="echo", model_uid="slow-echo", token_interval=0.05
    ) as uid:
        page.goto(f"{server.url}/#/chat/{uid}")
        say(page, "on and on " * 100)
        answer = page.get_by_role("log", name="Conversation").get_by_role("article", name=uid)
        expect(answer).to_contain_text("on and on")
        page.get_by_role("button", name="Stop").click()
        expect(answer).to_contain_text("Stopped")
        expect(page.get_by_role("button", name="Send")).to_be_visible()

        say(page, "still there? " * 100)
        expect(page.get_by_role("button", name="Stop")).to_be_visible()


def test_a_refused_launch_says_why_in_place(page: Page, server: Server) -> None:
    with running_model(server, model_name="echo", model_uid="taken") as uid:
        page.goto(f"{server.url}/#/launch")
        page.get_by_role("button", name="echo", exact=True).click()
        page.get_by_role("textbox", name="Model UID").fill(uid)
        with page.expect_response(lambda response: response.status == 409):
            page.get_by_role("button", name="Launch").click()
        expect(page.get_by_role("alert")).to_contain_text("taken")


@pytest.mark.parametrize(
    ("path", "heading"), [("/", "Launch a model"), ("/docs", "xinfer"), ("/redoc", "xinfer")]
)
def test_a_page_loads_from_its_own_server_only(
    page: Page, server: Server, path: str, heading: str
) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{server.url}{path}", wait_until="networkidle")
    expect(page.get_by_role("heading", name=heading).first).to_be_visible()
    assert [url for url in requests if not url.startswith((server.url, "data:", "blob:"))] == []


def test_chinese_is_a_press_away_and_is_remembered(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="启动模型")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="启动模型")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
