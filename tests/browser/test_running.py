"""Running Models: what a model does, and changing it."""

from __future__ import annotations

import subprocess
import sys

from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.actions import card, running_model
from tests.browser.conftest import Shoot
from tests.support.server import Server


def test_a_model_shows_its_state_and_is_scaled(
    page: Page, context: BrowserContext, server: Server, shoot: Shoot
) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    with running_model(server, model_name="tiny-chat", model_uid="busy"):
        page.goto(f"{server.url}/#/running")
        model = card(page, "busy")
        expect(model.get_by_role("group", name="Load of busy")).to_contain_text("0 running")
        model.get_by_role("button", name="Copy busy").click()
        expect(model.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == "busy"

        model.get_by_role("button", name="Details of busy").click()
        model.get_by_role("textbox", name="Replicas").fill("2")
        model.get_by_role("button", name="Scale").click()
        rows = model.get_by_role("region", name="Replicas of busy").get_by_role("row")
        expect(rows).to_have_count(3)
        expect(rows.nth(2)).to_contain_text("Ready")
        expect(rows.nth(2)).to_contain_text("cpu:0")
        shoot("running")


def test_a_launch_that_failed_says_why_with_its_log_and_is_removed(
    page: Page, server: Server
) -> None:
    body = {"model_name": "echo", "model_uid": "broken", "fail_on_load": "broken on purpose"}
    assert server.http.post("/v1/models", json=body).status_code == 500
    page.goto(f"{server.url}/#/running")
    model = card(page, "broken")
    expect(model.get_by_role("status")).to_have_text("Error")
    expect(model.get_by_role("alert").first).to_contain_text("broken on purpose")
    log = model.get_by_role("group", name="Last log lines, replica 0")
    expect(log).to_contain_text("The replica cannot go on: broken on purpose")
    model.get_by_role("button", name="Details of broken").click()
    model.get_by_role("tab", name="Logs").click()
    expect(log).to_have_count(2)
    model.get_by_role("button", name="Remove broken").click()
    expect(model).to_have_count(0)


def test_tokens_a_second_are_told_while_a_model_writes(page: Page, server: Server) -> None:
    with running_model(server, model_name="echo", model_uid="fast", token_interval=0.01) as uid:
        page.goto(f"{server.url}/#/playground/{uid}")
        page.get_by_role("textbox", name="Message").fill("word " * 700)
        page.get_by_role("button", name="Send").click()
        page.get_by_role("link", name="Running Models").click()
        load = card(page, uid).get_by_role("group", name="Load of fast")
        expect(load).to_contain_text("1 running")
        expect(load).to_contain_text("tokens/s")


def test_the_program_that_is_shown_runs(page: Page, server: Server) -> None:
    with running_model(server, model_name="echo", model_uid="asked") as uid:
        page.goto(f"{server.url}/#/running")
        model = card(page, uid)
        model.get_by_role("button", name=f"Details of {uid}").click()
        model.get_by_role("tab", name="Code").click()
        expect(model.get_by_role("group", name="curl")).to_contain_text("/v1/chat/completions")
        model.get_by_role("tab", name="Python").click()
        program = model.get_by_role("group", name="Python").inner_text()
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert "Hello!" in done.stdout
