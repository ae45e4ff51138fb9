"""The supervisor dies, is asked for contradictory things at once, or sees the clock jump."""

from __future__ import annotations

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.server import Server, running_server
from tests.support.sse import Transcript, read_stream
from tests.support.waiting import eventually

SUPERVISOR = "xinfer.core.supervisor"
REPLICA = "xinfer.core.replica"

CLOCK = """
import os, time
_real = time.time
def _jump():
    with open(os.environ["TEST_CLOCK"]) as file:
        return float(file.read() or 0)
time.time = lambda: _real() + _jump()
time.time_ns = lambda: int(time.time() * 1e9)
"""


def _stream(server: Server, uid: str, content: str) -> Transcript:
    body = {"model": uid, "messages": [{"role": "user", "content": content}], "stream": True}
    with server.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        return read_stream(answer.iter_lines())


def _running(server: Server, uid: str) -> int:
    return sum(int(replica["running"]) for replica in server.replicas(uid))


def _processes(server: Server, *uids: str) -> set[tuple[str, int, str, int]]:
    """What identifies each replica: id, pid, state, restarts."""
    return {
        (one["replica_model_uid"], one["pid"], one["state"], one["restarts"])
        for uid in uids
        for one in server.replicas(uid)
    }


def test_f06_a_killed_supervisor_comes_back_to_all_that_runs_and_streams_never_notice() -> None:
    with running_server() as server:
        two = server.launch(model_uid="f06-two", replica=2, token_interval=0.02)
        one = server.launch(model_uid="f06-one")
        before = _processes(server, two, one)
        assert len(before) == 3
        (killed,) = server.pids(SUPERVISOR)
        text = "x" * 250  # 5 seconds
        with ThreadPoolExecutor(8) as pool:
            streams = [pool.submit(_stream, server, two, text) for _ in range(8)]
            eventually(lambda: _running(server, two) == 8, 10, "all streams")
            os.kill(killed, signal.SIGKILL)
            died = time.monotonic()
            # By the last snapshot, also a request that begins now.
            assert _stream(server, one, "meanwhile").text == "meanwhile"
            eventually(lambda: _supervised_anew(server, killed), 20, "another supervisor")
            took = time.monotonic() - died
            assert took < 5.0
            for stream in streams:
                transcript = stream.result(timeout=60)
                assert (transcript.text, transcript.done) == (text, True)
        assert _processes(server, two, one) == before
        server.launch(model_uid="f06-after")
        assert _processes(server, two, one) == before
        assert len(server.pids(REPLICA)) == 4


def _supervised_anew(server: Server, killed: int) -> bool:
    """Whether another one has taken over, and says what there is."""
    supervisors = [pid for pid in server.pids(SUPERVISOR) if pid != killed]
    assert len(supervisors) <= 1, "two supervisors"
    return bool(supervisors) and server.http.get("/readyz").is_success


def test_f25_of_many_launches_of_one_uid_one_is_done(server: Server) -> None:
    body = {"model_name": "echo", "model_uid": "f25-twice", "load_seconds": 0.3}
    gate = threading.Barrier(8)

    def launch() -> int:
        gate.wait(10)
        return server.http.post("/v1/models", json=body).status_code

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(each.result() for each in [pool.submit(launch) for _ in range(8)])
    assert answers == [200] + [409] * 7
    assert len(server.replicas("f25-twice")) == 1
    pid = server.replicas("f25-twice")[0]["pid"]
    server.terminate("f25-twice")
    assert not psutil.pid_exists(pid)


def test_f25_launches_and_terminations_at_once_leave_nothing_behind(server: Server) -> None:
    before = set(server.pids(REPLICA))
    body = {"model_name": "echo", "model_uid": "f25-race", "load_seconds": 0.1}
    for _ in range(5):
        with ThreadPoolExecutor(6) as pool:
            launches = [
                # Less than a control call may take: nobody waits for what will never be seen.
                pool.submit(server.http.post, "/v1/models", json=body, timeout=25)
                for _ in range(3)
            ]
            ends = [pool.submit(server.http.delete, "/v1/models/f25-race") for _ in range(3)]
            assert {one.result().status_code for one in launches} <= {200, 409, 499}
            assert {one.result().status_code for one in ends} <= {200, 404}
        if server.http.delete("/v1/models/f25-race").is_success:
            eventually(lambda: not server.instances("f25-race"), 30, "its end")
    eventually(lambda: not server.instances("f25-race"), 30, "its end")
    eventually(lambda: set(server.pids(REPLICA)) == before, 10, "the end of its processes")


@pytest.mark.parametrize("how", ["terminate", "cancel"])
def test_f25_a_load_that_is_given_up_ends_its_process(server: Server, how: str) -> None:
    uid = f"f25-{how}"
    body = {"model_name": "echo", "model_uid": uid, "load_seconds": 600}
    with ThreadPoolExecutor(1) as pool:
        launch = pool.submit(server.http.post, "/v1/models", json=body, timeout=60)
        pid = eventually(lambda: _loading(server, uid), 20, "the load")
        if how == "cancel":
            server.http.post(f"/v1/models/{uid}/cancel").raise_for_status()
        else:
            server.http.delete(f"/v1/models/{uid}").raise_for_status()
        answer = launch.result(timeout=30)
    assert answer.status_code == 499, answer.text
    assert answer.json()["error"]["code"] == "cancelled"
    eventually(lambda: not psutil.pid_exists(pid), 15, "the end of its process")
    eventually(lambda: not server.instances(uid), 10, "its end")
    server.launch(model_uid=uid)
    server.terminate(uid)


def _loading(server: Server, uid: str) -> int:
    (replica,) = server.replicas(uid)
    return int(replica["pid"]) if replica["state"] == "LOADING" else 0


def test_f27_a_jump_of_the_clock_ends_nothing(tmp_path: Path) -> None:
    """In every process of the server `time.time()` jumps; the monotonic clock goes on."""
    clock = tmp_path / "clock"
    clock.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    with running_server(
        PYTHONPATH=str(tmp_path),
        TEST_CLOCK=str(clock),
        XINFERENCE_HEARTBEAT_INTERVAL="0.2",
        XINFERENCE_HEARTBEAT_TIMEOUT="1.5",
        XINFERENCE_QUEUE_TIMEOUT="20",
    ) as server:
        uid = server.launch(model_uid="f27", token_interval=0.02)
        before = _processes(server, uid)
        for jump in (3600, -3600):
            clock.write_text(str(jump))
            transcript = _stream(server, uid, "x" * 100)  # longer than a worker may be silent
            assert transcript.done
            seen: Any = transcript.chunks[0]["created"]
            assert abs(seen - (time.time() + jump)) < 600, "the clock did not jump"
            assert _processes(server, uid) == before
            server.launch(model_uid=f"f27-{jump}")
        assert "is lost" not in server.log
        assert _processes(server, uid) == before
