"""What holds on every page: languages, themes, keyboard, screen readers, phones, sub-paths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser.accessibility import settled, violations
from tests.browser.actions import answer_of, running_model, say
from tests.support.path_proxy import below
from tests.support.server import Server, running_server

VIEWS = ["launch", "launch/echo", "running", "playground/checked", "register", "cluster"]


@pytest.fixture(scope="module")
def checked(server: Server) -> Iterator[str]:
    """A model, so that pages have something to show."""
    with running_model(server, model_name="echo", model_uid="checked") as uid:
        yield uid


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_can_be_used_with_a_screen_reader(
    page: Page, server: Server, checked: str, scheme: Any
) -> None:
    page.emulate_media(color_scheme=scheme)
    for view in VIEWS:
        page.goto(f"{server.url}/#/{view}")
        settled(page)
        if view == "launch/echo":
            page.get_by_text("Advanced options").click()
        if view == "running":
            page.get_by_role("button", name=f"Details of {checked}").click()
        if view.startswith("playground"):
            say(page, "# Hello\n\n```js\nlet a = 'b' // c\n```")
            expect(answer_of(page, checked)).to_contain_text("tokens/s")
            page.get_by_text("Settings: system prompt").click()
        settled(page)
        assert violations(page) == [], view


def test_every_page_fits_on_a_phone(browser: Browser, server: Server, checked: str) -> None:
    context = browser.new_context(
        locale="en-US", viewport={"width": 360, "height": 740}, has_touch=True
    )
    page = context.new_page()
    long = server.launch("echo", model_uid="a-name-without-an-end-" * 4)
    try:
        for view in VIEWS:
            page.goto(f"{server.url}/#/{view}")
            settled(page)
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= 360, view
        page.goto(f"{server.url}/#/running")
        page.get_by_role("link", name="Cluster").click()
        expect(page.get_by_role("heading", name="Cluster")).to_be_visible()
    finally:
        context.close()
        server.terminate(long)


def test_the_keyboard_is_enough(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/")
    expect(page.get_by_role("button", name="echo", exact=True)).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    page.get_by_role("button", name="echo", exact=True).focus()
    page.keyboard.press("Enter")
    form = page.get_by_role("dialog", name="echo")
    expect(form).to_be_visible()
    for _ in range(30):
        page.keyboard.press("Tab")
        assert form.evaluate("(form) => form.contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(form).to_have_count(0)


def test_chinese_is_a_press_away_and_is_remembered(
    page: Page, server: Server, checked: str
) -> None:
    page.goto(f"{server.url}/")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", name="启动模型")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="启动模型")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
    for link, heading in (
        ("运行中的模型", "运行中的模型"),
        ("注册模型", "注册模型"),
        ("集群", "集群"),
    ):
        page.get_by_role("link", name=link).click()
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
        settled(page)
        assert violations(page) == [], heading


def test_a_theme_is_chosen_and_remembered(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/")
    page.get_by_role("button", name="Switch to dark theme").click()
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")


def test_the_page_works_below_a_path_of_a_proxy(page: Page, server: Server, checked: str) -> None:
    with below("/below/this", server.url) as url:
        page.goto(f"{url}/ui/{checked}")
        expect(page).to_have_url(f"{url}/#/playground/{checked}")
        say(page, "hello below")
        expect(answer_of(page, checked).get_by_role("paragraph").last).to_contain_text("tokens/s")
        page.goto("about:blank")


def test_a_key_is_asked_for_until_it_is_right_and_is_kept(page: Page) -> None:
    with running_server(XINFERENCE_API_KEY="the key") as server:
        page.goto(f"{server.url}/#/running")
        expect(page.get_by_role("status")).to_contain_text("This server asks for an API key.")
        assert violations(page) == []
        page.get_by_label("API key", exact=True).fill("another")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_role("status")).to_contain_text("does not accept this API key")
        page.get_by_label("API key", exact=True).fill("the key")
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("No model is running.")).to_be_visible()
        page.reload()
        expect(page.get_by_text("No model is running.")).to_be_visible()
        expect(page.get_by_role("button", name="Change API key")).to_be_visible()
        expect(page.get_by_label("API key", exact=True)).to_have_count(0)
        page.goto("about:blank")


def test_a_server_that_is_gone_is_said_to_be_so_until_it_is_back(
    context: BrowserContext, server: Server, checked: str
) -> None:
    page = context.new_page()  # of its own: the browser logs every request that fails
    page.clock.install()
    page.goto(f"{server.url}/#/running")
    expect(page.get_by_role("article", name=checked)).to_be_visible()
    page.route("**/v1/**", lambda route: route.abort("connectionrefused"))
    page.clock.fast_forward(6_000)  # past when the page asks again
    expect(page.get_by_role("alert").first).to_have_text(
        "The server does not answer. Is it running?"
    )
    page.unroute("**/v1/**")
    page.clock.fast_forward(6_000)
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.get_by_role("article", name=checked)).to_be_visible()


@pytest.mark.parametrize(
    ("path", "heading"), [("/", "Launch Model"), ("/docs", "xinfer"), ("/redoc", "xinfer")]
)
def test_a_page_loads_from_its_own_server_only(
    page: Page, server: Server, path: str, heading: str
) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto(f"{server.url}{path}", wait_until="networkidle")
    expect(page.get_by_role("heading", name=heading).first).to_be_visible()
    assert [url for url in requests if not url.startswith((server.url, "data:", "blob:"))] == []
