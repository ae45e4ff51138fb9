"""A machine dies or stands still: others serve on, and what comes back owns nothing twice."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.support.cluster import Cluster, Worker, running_cluster
from tests.support.waiting import eventually


@contextmanager
def two_replicas(uid: str) -> Iterator[tuple[Cluster, Worker, Worker]]:
    """A cluster with a replica of the model on each of two workers."""
    with running_cluster() as cluster:
        workers = [cluster.add_worker(host) for host in ("127.0.0.1", "127.0.0.2")]
        cluster.server.launch(model_uid=uid, replica=2)
        cluster.until_ready_on(uid, *workers)
        yield cluster, workers[0], workers[1]


def has_ended(process: psutil.Process) -> bool:
    """Whether it computes no more; a zombie waits for its parent, which may stand still."""
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_f04_a_killed_worker_fails_no_new_request_and_its_replicas_are_placed_elsewhere() -> None:
    with two_replicas("f04") as (cluster, stays, dies):
        # Its launcher would start it again; as on a machine that is gone, nobody does.
        launcher = psutil.Process(dies.process.pid)
        (orphan,) = [psutil.Process(pid) for pid in dies.replica_pids]
        killed = dies.worker_pid
        launcher.suspend()
        try:
            os.kill(killed, signal.SIGKILL)
            for _ in range(100):
                cluster.chat("f04")
            eventually(lambda: has_ended(orphan), 5, "the end of its orphan")
            # Until it is lost, its replica counts; then it is started where there is a worker.
            cluster.until_ready_on("f04", stays, stays)
            assert f"Worker {dies.address} is lost" in cluster.server.log
            assert list(cluster.workers()) == [stays.address]
            for _ in range(20):
                cluster.chat("f04")
        finally:
            launcher.resume()
        eventually(lambda: dies.address in cluster.workers(), 15, "the worker that was started")


def test_f05_a_worker_that_stood_still_is_told_to_stop_what_it_no_longer_owns() -> None:
    with two_replicas("f05") as (cluster, stays, sleeps):
        (stale,) = [
            replica for replica, at in cluster.ready_on("f05").items() if at == sleeps.address
        ]
        (stale_pid,) = sleeps.replica_pids
        worker = psutil.Process(sleeps.worker_pid)
        worker.suspend()
        try:
            cluster.until_ready_on("f05", stays, stays)
            assert f"Worker {sleeps.address} is lost" in cluster.server.log
            owners = cluster.ready_on("f05")
            assert stale not in owners
            for _ in range(50):
                cluster.chat("f05")
            # Its process knows nothing of all this.
            assert psutil.pid_exists(stale_pid)
        finally:
            worker.resume()
        eventually(lambda: sleeps.address in cluster.workers(), 10, "its return")
        told = cluster.server.until_logged(f"Stopping replica {stale}", 10)
        assert "another replica has its place" in told
        eventually(lambda: not psutil.pid_exists(stale_pid), 10, "the end of the stale replica")
        # Who owned the places meanwhile owns them still.
        assert cluster.ready_on("f05") == owners
        for _ in range(20):
            cluster.chat("f05")
        # It takes models again.
        cluster.until_it_takes("f05-next", sleeps)
