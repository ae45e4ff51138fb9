"""What a launch on several workers may ask for, and how it grows and shrinks while it serves."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.cluster import Cluster, Worker, running_cluster
from tests.support.waiting import eventually
from xinfer.model import catalog

WEIGHTS = Path(catalog.__file__).parent / "weights"
THIRD_PARTY = Path(__file__).parents[1] / "support" / "third_party"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster(XINFERENCE_MAX_CONCURRENT_LAUNCHES="2") as made:
        yield made


@pytest.fixture(scope="module")
def plain(cluster: Cluster) -> Worker:
    return cluster.add_worker("127.0.0.1", "--label", "rack=1")


@pytest.fixture(scope="module")
def special(cluster: Cluster) -> Worker:
    """A worker with another label, and with an engine that no other machine has."""
    environment = {"PYTHONPATH": str(THIRD_PARTY)}
    return cluster.add_worker("127.0.0.2", "--label", "rack=2", environment=environment)


def test_a_model_grows_and_shrinks_without_a_failed_request(
    cluster: Cluster, plain: Worker, special: Worker
) -> None:
    uid = cluster.server.launch(model_uid="elastic", token_interval=0.01, max_queue=101)
    over = threading.Event()

    def keep_asking() -> int:
        count = 0
        while not over.is_set():
            cluster.chat(uid, "still there")
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(keep_asking) for _ in range(4)]
        try:
            _grow_and_shrink(cluster, uid, plain, special)
        finally:
            over.set()
        assert all(each.result(20) > 0 for each in asking)
    cluster.server.terminate(uid)


def _grow_and_shrink(cluster: Cluster, uid: str, plain: Worker, special: Worker) -> None:
    path = f"/v1/models/{uid}"
    cluster.http.patch(path, json={"replica": 2}).raise_for_status()
    cluster.until_ready_on(uid, plain, special)
    before = cluster.server.replicas(uid)
    # The waiting places that were asked for are divided among them.
    eventually(
        lambda: [each["capacity"] - 64 for each in cluster.server.replicas(uid)] == [51, 50],
        10,
        "the places of each",
    )
    place = {"replica_uid": "third", "devices": [{"worker_ip": "127.0.0.2"}]}
    added = cluster.http.post(f"{path}/replicas", json={"replica_config": place}).json()
    assert (added["replica_id"], added["worker_address"]) == (2, special.address)
    (gone,) = (each for each in before if each["worker_address"] == plain.address)
    (kept,) = (each for each in before if each is not gone)
    answer = cluster.http.delete(f"{path}/replicas/{gone['replica_id']}")
    assert answer.json() == {"remaining_replicas": 2}
    cluster.until_ready_on(uid, special, special)
    after = {each["replica_id"]: each for each in cluster.server.replicas(uid)}
    assert after.keys() == {kept["replica_id"], 2}
    assert (after[kept["replica_id"]]["pid"], after[2]["replica_uid"]) == (kept["pid"], "third")
    cluster.http.patch(path, json={"replica": 1}).raise_for_status()
    cluster.until_ready_on(uid, special)


def test_a_replica_that_was_removed_stays_so_when_the_supervisor_comes_back(
    cluster: Cluster, plain: Worker, special: Worker
) -> None:
    uid = cluster.server.launch(model_uid="numbered", replica=3)
    cluster.http.delete(f"/v1/models/{uid}/replicas/1").raise_for_status()
    pids = {each["replica_id"]: each["pid"] for each in cluster.server.replicas(uid)}
    (supervisor,) = cluster.server.pids("xinfer.core.supervisor")
    psutil.Process(supervisor).kill()
    path = f"/v1/models/{uid}/replicas"
    added = eventually(
        lambda: answer if (answer := cluster.http.post(path)).status_code == 200 else None,
        15,
        "a replica added by another supervisor",
    )
    assert added.json()["replica_id"] == 1
    left = {each["replica_id"]: each["pid"] for each in cluster.server.replicas(uid)}
    assert {number: left[number] for number in pids} == pids
    assert left.keys() == {0, 1, 2}
    cluster.server.terminate(uid)


def test_labels_say_where_a_model_runs(cluster: Cluster, plain: Worker, special: Worker) -> None:
    uid = cluster.server.launch(model_uid="there", replica=2, worker_labels={"rack": "2"})
    cluster.until_ready_on(uid, special, special)
    cluster.server.terminate(uid)
    body = {"model_name": "echo", "worker_labels": {"rack": "3"}}
    refusal = cluster.http.post("/v1/models", json=body)
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (503, "no_capacity")
    assert "No worker has the label rack=3." in refusal.json()["detail"]
    assert "It would fit without worker_labels." in refusal.json()["detail"]


def test_an_engine_that_only_a_worker_has_is_used_there(
    cluster: Cluster, plain: Worker, special: Worker
) -> None:
    uid = cluster.server.launch(model_uid="parrot", model_engine="Parrot", replica=2)
    cluster.until_ready_on(uid, special, special)
    cluster.chat(uid, "hello")
    described = cluster.http.get(f"/v1/models/{uid}").json()
    assert described["model_engine"] == "parrot"
    engines = cluster.http.get("/v1/engines/LLM/echo").json()
    assert [form["model_name"] for form in engines["parrot"]] == ["echo"]
    cluster.server.terminate(uid)
    body: dict[str, Any] = {"model_name": "echo", "model_engine": "parrot", "tempo": 1}
    refusal = cluster.http.post("/v1/models", json=body)
    assert refusal.status_code == 400
    assert "Engine parrot has no option 'tempo'" in refusal.json()["detail"]
    elsewhere = {"model_name": "echo", "model_engine": "parrot", "worker_ip": "127.0.0.1"}
    refusal = cluster.http.post("/v1/models", json=elsewhere)
    assert refusal.status_code == 400
    assert "There is no engine 'parrot'" in refusal.json()["detail"]


def test_a_registered_model_runs_on_an_engine_that_only_a_worker_has(
    cluster: Cluster, plain: Worker, special: Worker
) -> None:
    (weights,) = (WEIGHTS / "tiny-chat").glob("*.gguf")
    model = {
        "model_name": "echo-of-mine",
        "model_uri": str(weights),
        "model_format": "ggufv2",
        "model_ability": ["chat"],
    }
    body = {"model": json.dumps(model), "persist": False}
    cluster.http.post("/v1/model_registrations/LLM", json=body).raise_for_status()
    uid = cluster.server.launch("echo-of-mine", model_uid="mine", model_engine="parrot")
    cluster.until_ready_on(uid, special)
    cluster.chat(uid, "hello")
    cluster.server.terminate(uid)


def test_what_loads_waits_for_its_turn_and_says_so(
    cluster: Cluster, plain: Worker, special: Worker
) -> None:
    body = {
        "model_name": "echo",
        "model_uid": "slow",
        "replica": 6,
        "load_seconds": 1.0,
        "worker_ip": "127.0.0.1",
    }
    cluster.http.post("/v1/models", json=body, params={"wait_ready": False}).raise_for_status()

    def replicas() -> list[dict[str, Any]]:
        (instance,) = cluster.http.get("/v1/models/instances", params={"model_uid": "slow"}).json()
        return list(instance["replica_statuses"])

    def states() -> list[str]:
        return [each["state"] for each in replicas()]

    eventually(lambda: states() == ["LOADING"] * 2 + ["PENDING"] * 4, 5, "two loading")
    assert "Waiting for its turn: 2 replicas" in replicas()[2]["info"]
    progress = cluster.http.get("/v1/models/slow/progress").json()
    assert "Waiting for its turn" in progress["replicas"][5]["info"]
    seen: set[int] = set()

    def all_ready() -> bool:
        now = states()
        seen.add(now.count("LOADING"))
        return now == ["READY"] * 6

    eventually(all_ready, 20, "six ready")
    assert max(seen) == 2
    cluster.server.terminate("slow")
