"""The network between machines delivers late, or nothing for a while."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, Worker, running_cluster
from tests.support.proxy import Proxy
from tests.support.replicas import echo, prompt, served
from tests.support.snapshots import deployment_status, replica_status, snapshot
from tests.support.waiting import eventually
from xinfer.core.gateway import Gateway, RoutingTable
from xinfer.settings import Settings


@contextmanager
def telling(address: str) -> Iterator[str]:
    """The URL of a server by whose word the supervisor is at this address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(address).encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    http = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}"
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


@contextmanager
def near_and_far(
    delay: float = 0.0, jitter: float = 0.0, loss: float = 0.0, **environment: str
) -> Iterator[tuple[Cluster, Worker, Worker, Proxy]]:
    """A cluster with one worker beside the supervisor, and one that reports through a proxy."""
    with running_cluster(**environment) as cluster:
        near = cluster.add_worker("127.0.0.1")
        supervisor = cluster.http.get("/v1/address").json()
        with (
            Proxy(supervisor, delay=delay, jitter=jitter, loss=loss) as proxy,
            telling(proxy.address) as url,
        ):
            far = cluster.add_worker("127.0.0.2", endpoint=url)
            yield cluster, near, far, proxy
            assert far.stop() == 0


def joins(cluster: Cluster, worker: Worker) -> int:
    """How often this worker has been welcomed."""
    return cluster.server.log.count(f"Worker {worker.address} has been added")


def test_f08_a_worker_behind_a_partition_is_replaced_and_afterwards_taken_back() -> None:
    with near_and_far() as (cluster, near, far, proxy):
        cluster.server.launch(model_uid="f08", replica=2)
        cluster.until_ready_on("f08", near, far)
        proxy.hold()
        for _ in range(50):
            cluster.chat("f08")
        cluster.until_ready_on("f08", near, near)
        # The call that nobody answers has ended at its deadline, not when the network is back.
        far.until_logged("no answer within 2 s", 10)
        for _ in range(20):
            cluster.chat("f08")
        owners = cluster.ready_on("f08")
        proxy.release()
        eventually(lambda: far.address in cluster.workers(), 10, "its return")
        assert joins(cluster, far) == 2
        eventually(lambda: not far.replica_pids, 10, "the end of what it no longer owns")
        assert cluster.ready_on("f08") == owners
        cluster.until_it_takes("f08-next", far)


def test_f08_two_machines_between_which_a_router_drops_everything() -> None:
    """All that passes between them at once: reports, orders, and streams on links."""
    done = subprocess.run(
        ["unshare", "-Urn", sys.executable, "-m", "tests.faults.partition_two_machines"],
        capture_output=True,
        text=True,
        timeout=180,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "healed"


def test_f09_delay_jitter_and_loss_make_no_worker_flap() -> None:
    network = {"delay": 0.2, "jitter": 0.1, "loss": 0.05}
    patience = {"XINFERENCE_HEARTBEAT_TIMEOUT": "4"}
    with near_and_far(**network, **patience) as (cluster, near, far, proxy):
        cluster.server.launch(model_uid="f09", replica=2)
        cluster.until_ready_on("f09", near, far)
        before, chunks = cluster.ready_on("f09"), proxy.chunks
        while proxy.chunks < chunks + 12:  # six reports and their answers
            cluster.chat("f09")
            assert cluster.ready_on("f09") == before
        assert "is lost" not in cluster.server.log
        assert "RESTARTING" not in cluster.server.log
        assert "Trying again" not in far.log
        assert joins(cluster, far) == 1


class Machines:
    """A gateway and two replicas, one of them behind a proxy."""

    def __init__(self, settings: Settings, near: str, far: Proxy) -> None:
        table = RoutingTable()
        far_status = replica_status("far", f"tcp:{far.address}")
        table.update(snapshot(deployment_status("m", replica_status("near", near), far_status)))
        self.gateway = Gateway(table, settings)

    async def ask(self) -> str:
        request = prompt("hello", max_tokens=5)
        return (await self.gateway.complete("m", request, request_id="r")).text


QUICK = dataclasses.replace(
    Settings(), link_ping_interval=0.1, link_deadline=0.6, handshake_timeout=0.6
)


@pytest.mark.anyio
async def test_f08_requests_on_a_link_behind_a_partition_are_begun_anew_elsewhere() -> None:
    async with served(echo(token_interval=0.02)) as near, served(echo(token_interval=0.02)) as far:
        with Proxy(far.address.removeprefix("unix:")) as proxy:
            machines = Machines(QUICK, near.address, proxy)
            first = [asyncio.create_task(machines.ask()) for _ in range(8)]
            while not far.admission.load.running:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.002)
            proxy.hold()
            # Those that were there are lost with the link's deadline, new ones avoid it.
            later = [asyncio.create_task(machines.ask()) for _ in range(8)]
            answers = await asyncio.wait_for(asyncio.gather(*first, *later), 10)
            assert answers == ["hello"] * 16
            proxy.release()
            # Nothing sticks: it is tried again, and serves.
            while len(far.links) < 2:
                more = [asyncio.create_task(machines.ask()) for _ in range(4)]
                assert set(await asyncio.wait_for(asyncio.gather(*more), 10)) == {"hello"}
            await machines.gateway.close()


@pytest.mark.anyio
async def test_f09_a_link_with_delay_jitter_and_loss_stays_and_keeps_the_order() -> None:
    settings = dataclasses.replace(Settings(), link_ping_interval=0.1, link_deadline=2.0)
    async with served(echo(token_interval=0.005)) as replica:
        path = replica.address.removeprefix("unix:")
        with Proxy(path, delay=0.2, jitter=0.1, loss=0.05) as proxy:
            table = RoutingTable()
            status = deployment_status("m", replica_status("far", f"tcp:{proxy.address}"))
            table.update(snapshot(status))
            gateway = Gateway(table, settings)
            text = "".join(map(chr, range(33, 127))) * 2

            async def ask() -> str:
                request = prompt(text, max_tokens=len(text))
                return (await gateway.complete("m", request, request_id="r")).text

            answers = await asyncio.wait_for(asyncio.gather(*(ask() for _ in range(4))), 20)
            assert answers == [text] * 4
            assert len(replica.links) == 1
            await gateway.close()


def test_f08_a_call_to_a_silent_supervisor_ends_and_the_next_one_goes_through() -> None:
    """Several workers report through the same hole; none is held up by another's call."""
    with running_cluster() as cluster:
        supervisor = cluster.http.get("/v1/address").json()
        with Proxy(supervisor) as proxy, telling(proxy.address) as url:
            with ThreadPoolExecutor(2) as pool:
                hosts = ("127.0.0.2", "127.0.0.3")
                far = list(pool.map(lambda host: cluster.add_worker(host, endpoint=url), hosts))
            proxy.hold()
            for worker in far:
                worker.until_logged("no answer within 2 s", 10)
            proxy.release()
            for number, worker in enumerate(far):
                worker.until_logged("The supervisor answers again", 10)
                cluster.until_it_takes(f"after-{number}", worker)


def test_workers_that_all_fall_silent_at_once_are_not_taken_for_lost() -> None:
    with running_cluster() as cluster:
        supervisor = cluster.http.get("/v1/address").json()
        with Proxy(supervisor) as proxy, telling(proxy.address) as url:
            far = [cluster.add_worker(host, endpoint=url) for host in ("127.0.0.2", "127.0.0.3")]
            proxy.hold()
            eventually(lambda: "More workers fall silent" in cluster.server.log, 10, "a word")
            proxy.release()
            cluster.server.launch(model_uid="after", replica=2)
            cluster.until_ready_on("after", *far)
            assert [joins(cluster, worker) for worker in far] == [1, 1]
