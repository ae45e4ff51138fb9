"""Cluster: the machines, what they have, and draining one."""

from __future__ import annotations

from playwright.sync_api import Page, Route, expect

from tests.browser.actions import running_model
from tests.browser.conftest import Shoot
from tests.support.cluster import running_cluster
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


def test_a_worker_is_drained_and_its_model_goes_to_another(page: Page) -> None:
    with running_cluster() as cluster:
        first = cluster.add_worker("127.0.0.2")
        uid = cluster.server.launch("echo", model_uid="moved")
        second = cluster.add_worker("127.0.0.3")
        page.goto(f"{cluster.server.url}/#/cluster")
        expect(page.get_by_text("2 workers")).to_be_visible()
        page.get_by_role("button", name=f"Drain {first.address}").click()
        dialog = page.get_by_role("dialog", name=f"Drain {first.address}?")
        dialog.get_by_role("button", name="Drain").click()
        worker = page.get_by_role("article", name=second.address)
        expect(worker.get_by_role("link", name=uid)).to_be_visible()
        expect(page.get_by_role("article", name=first.address)).to_have_count(0)
        expect(page.get_by_text("1 worker", exact=False).first).to_be_visible()
        cluster.until_ready_on(uid, second)
        page.goto("about:blank")


def test_accelerators_are_shown_and_can_be_asked_for(page: Page, server: Server) -> None:
    """No machine for tests has any: they are added to what the server says."""
    gpu = {
        **{"device": "cuda:0", "name": "NVIDIA H100", "problem": "", "gpu_util": 97.0},
        **{"mem_total": 80 << 30, "mem_used": 60 << 30, "mem_free": 20 << 30},
    }
    broken = {**gpu, "device": "cuda:1", "gpu_util": None, "problem": "fell off the bus"}

    def add(route: Route) -> None:
        answer = route.fetch()
        status = answer.json()
        for worker in status["workers"].values():
            worker["status"] |= {"gpu-0": gpu, "gpu-1": broken}
        route.fulfill(response=answer, json=status)

    page.route("**/status", add)
    page.goto(f"{server.url}/#/cluster")
    worker = page.get_by_role("article").first
    expect(worker).to_contain_text("cuda:0 NVIDIA H100 · load 97 %")
    expect(worker).to_contain_text("cuda:1 NVIDIA H100 · fell off the bus")
    memory = worker.get_by_role("progressbar", name="Memory of cuda:0 on")
    expect(memory).to_have_attribute("aria-valuenow", "75")
    page.goto(f"{server.url}/#/launch/echo")
    form = page.get_by_role("dialog", name="echo")
    expect(form.get_by_role("combobox", name="N-GPU").get_by_role("option")).to_have_text(
        ["auto: what there is", "none: on processors", "1", "2"]
    )
    expect(form.get_by_text("of 20 GiB free")).to_be_visible()
    page.unroute_all(behavior="wait")
