"""One deployment on two workers: what users see, and what a worker that leaves takes with it."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.support.cluster import Cluster, Worker, running_cluster
from tests.support.sse import read_stream
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running_cluster() as made:
        yield made


@pytest.fixture(scope="module")
def first(cluster: Cluster) -> Worker:
    return cluster.add_worker("127.0.0.1", "--label", "rack=1", "--label", "disk=fast")


@pytest.fixture
def second(cluster: Cluster, first: Worker) -> Worker:
    """One more worker, which the test may end."""
    return cluster.add_worker("127.0.0.2")


def test_requests_spread_over_both_machines_within_ten_percent(
    cluster: Cluster, first: Worker, second: Worker
) -> None:
    uid = cluster.server.launch(model_uid="spread", replica=2, token_interval=0.005, concurrency=8)
    cluster.until_ready_on(uid, first, second)
    for replica in cluster.server.replicas(uid):
        host = replica["worker_address"].rpartition(":")[0]
        assert replica["model_address"].startswith(f"tcp:{host}:")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: cluster.chat(uid, "x" * 20), range(400)))
    shares = [replica["stats"]["completion_tokens"] for replica in cluster.server.replicas(uid)]
    assert sum(shares) == 400 * 20
    assert abs(shares[0] - shares[1]) <= 0.1 * sum(shares) / 2, shares
    cluster.server.terminate(uid)
    assert second.stop() == 0


def test_workers_are_shown_with_their_labels(cluster: Cluster, first: Worker) -> None:
    worker = cluster.workers()[first.address]
    assert worker["labels"] == {"rack": "1", "disk": "fast"}
    assert worker["state"] == "READY"
    assert first.address in cluster.http.get("/status").json()["workers"]


def test_a_drained_worker_moves_its_models_without_a_failed_request_and_stops(
    cluster: Cluster, first: Worker, second: Worker
) -> None:
    uid = cluster.server.launch(model_uid="moves", replica=2, token_interval=0.02)
    cluster.until_ready_on(uid, first, second)
    over = threading.Event()

    def keep_asking() -> int:
        count = 0
        while not over.is_set():
            cluster.chat(uid, "still there")
            count += 1
        return count

    def stream() -> tuple[str, bool]:
        body = {
            "model": uid,
            "stream": True,
            "messages": [{"role": "user", "content": "s" * 100}],
        }
        with cluster.http.stream("POST", "/v1/chat/completions", json=body) as answer:
            transcript = read_stream(answer.iter_lines())
        return transcript.text, transcript.done

    with ThreadPoolExecutor(12) as pool:
        streams = [pool.submit(stream) for _ in range(8)]
        asking = pool.submit(keep_asking)
        eventually(
            lambda: all(replica["running"] for replica in cluster.server.replicas(uid)), 10, "load"
        )
        cluster.http.post(f"/v1/workers/{second.address}/drain").raise_for_status()
        assert second.process.wait(20) == 0
        over.set()
        assert [each.result(20) for each in streams] == [("s" * 100, True)] * 8
        assert asking.result(20) > 0
    cluster.until_ready_on(uid, first, first)
    assert second.address not in cluster.workers()
    cluster.server.terminate(uid)


def test_the_last_worker_is_not_drained(cluster: Cluster, first: Worker) -> None:
    answer = cluster.http.post(f"/v1/workers/{first.address}/drain")
    assert answer.status_code == 409
    assert "stop-cluster" in answer.json()["detail"]


def test_a_worker_that_is_stopped_finishes_its_requests_and_its_models_move(
    cluster: Cluster, first: Worker, second: Worker
) -> None:
    uid = cluster.server.launch(model_uid="stopped", replica=2, token_interval=0.02)
    cluster.until_ready_on(uid, first, second)
    with ThreadPoolExecutor(8) as pool:
        asking = [pool.submit(cluster.chat, uid, "y" * 50) for _ in range(8)]
        eventually(
            lambda: all(replica["running"] for replica in cluster.server.replicas(uid)), 10, "load"
        )
        second.process.send_signal(signal.SIGTERM)
        # It still drains when its successor serves already.
        cluster.until_ready_on(uid, first, first)
        for each in asking:
            each.result(20)
    assert second.process.wait(20) == 0
    cluster.server.terminate(uid)


def test_a_worker_that_dies_comes_back_and_is_joined_again(
    cluster: Cluster, first: Worker, second: Worker
) -> None:
    uid = cluster.server.launch(model_uid="again", replica=2)
    cluster.until_ready_on(uid, first, second)
    pid, address = second.worker_pid, second.address
    psutil.Process(pid).kill()
    eventually(lambda: second.worker_pid != pid, 10, "another worker process")
    eventually(lambda: len(cluster.ready_on(uid)) == 2, 15, "two ready replicas")
    assert address in cluster.workers()
    cluster.server.terminate(uid)
    assert second.stop() == 0


def test_after_a_worker_is_lost_the_models_of_the_largest_priority_start_first() -> None:
    with running_cluster(XINFERENCE_MAX_CONCURRENT_LAUNCHES="1") as cluster:
        dies = cluster.add_worker("127.0.0.2")
        for number, priority in enumerate((0, 5, -5, 9)):
            cluster.server.launch(model_uid=f"m{number}", priority=priority, load_seconds=0.2)
        stays = cluster.add_worker("127.0.0.3")
        launcher = psutil.Process(dies.process.pid)
        launcher.suspend()  # it would start the worker again
        try:
            psutil.Process(dies.worker_pid).kill()
            for number in range(4):
                cluster.until_ready_on(f"m{number}", stays)
        finally:
            launcher.resume()
        _, _, after = cluster.server.log.rpartition("is lost: no report")
        assert re.findall(r"Starting replica (m\d)", after) == ["m3", "m1", "m0", "m2"]
