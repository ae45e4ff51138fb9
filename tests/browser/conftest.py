"""A headless Chromium that reaches the tested server only."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    ViewportSize,
    expect,
    sync_playwright,
)

expect.set_options(timeout=30_000)  # milliseconds: five seconds are few on a busy machine

ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--use-fake-device-for-media-stream",  # a microphone that beeps, which nobody has to allow
    "--use-fake-ui-for-media-stream",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]
DESKTOP = ViewportSize(width=1280, height=800)
SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""Where the pictures of the documentation are to be drawn anew: `docs/images/ui`."""

Shoot = Callable[[str], None]


@pytest.fixture(scope="module")  # no longer: its event loop runs in this thread while it is open
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@contextmanager
def chromium(playwright: Playwright, *arguments: str) -> Iterator[Browser]:
    """A browser with these arguments beside ARGUMENTS."""
    executable = shutil.which("chromium")
    assert executable, "the page's tests need Chromium: apt-get install chromium"
    browser = playwright.chromium.launch(executable_path=executable, args=[*ARGUMENTS, *arguments])
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with chromium(playwright) as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """English, on a desktop."""
    context = browser.new_context(locale="en-US", viewport=DESKTOP)
    context.set_default_timeout(30_000)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page, which must neither log an error nor raise one."""
    page = context.new_page()
    problems: list[str] = []

    def note(message: ConsoleMessage) -> None:
        # The browser logs every refusal by the API; the page shows those itself.
        refusal = "/v1/" in message.location["url"] and "status of 4" in message.text
        if message.type == "error" and not refusal:
            problems.append(f"{message.text} ({message.location['url']})")

    page.on("console", note)
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    assert problems == []


@pytest.fixture
def shoot(page: Page, tmp_path: Path) -> Shoot:
    """Takes a picture of the page as it is; one for the documentation if SCREENSHOTS is set."""

    def shoot(name: str) -> None:
        page.screenshot(
            path=Path(SCREENSHOTS or tmp_path) / f"{name}.png", animations="disabled", caret="hide"
        )

    return shoot
