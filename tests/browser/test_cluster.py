"""Cluster: the machines, what they have, and draining one."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.actions import running_model
from tests.browser.conftest import Shoot
from tests.support.server import Server


def test_workers_show_what_they_have_and_do_and_the_last_one_cannot_be_drained(
    page: Page, server: Server, shoot: Shoot
) -> None:
    (address,) = (worker["work-ip"] for worker in server.http.get("/v1/workers").json())
    with running_model(server, model_name="echo", model_uid="placed"):
        page.goto(f"{server.url}/#/cluster")
        worker = page.get_by_role("article", name=address)
        expect(worker.get_by_role("status")).to_have_text("Ready")
        expect(worker.get_by_role("link", name="placed")).to_be_visible()
        load = worker.get_by_role("progressbar", name=f"Processor load of {address}")
        expect(load).to_be_visible()
        expect(page.get_by_role("listitem").filter(has_text="placed").first).to_be_visible()
        shoot("cluster")

        worker.get_by_role("button", name=f"Drain {address}").click()
        dialog = page.get_by_role("dialog", name=f"Drain {address}?")
        with page.expect_response(lambda response: response.status == 409):
            dialog.get_by_role("button", name="Drain").click()
        expect(worker.get_by_role("alert")).to_be_visible()
