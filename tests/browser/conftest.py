"""A headless Chromium that reaches the tested server only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

expect.set_options(timeout=30_000)  # milliseconds: five seconds are few on a busy machine

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@pytest.fixture(scope="module")  # no longer: its event loop runs in this thread while it is open
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    assert executable, "the page's tests need Chromium: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """An English desktop page, which must neither log an error nor raise one."""
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 800})
    page = context.new_page()
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # The browser logs every refusal by the API; the page shows those itself.
        refusal = "/v1/" in message.location["url"] and "status of 4" in message.text
        if message.type == "error" and not refusal:
            problems.append(message.text)

    page.on("console", note)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    context.close()
    assert problems == []
