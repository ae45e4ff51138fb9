"""An event loop does one thing for long: others answer, and the log says what it is at."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import httpx

from tests.support.markdown import ROOT
from tests.support.server import Server, running_server
from tests.support.waiting import eventually

BLOCKABLE = str(ROOT / "tests" / "support" / "blockable")
SAID = "The event loop has been blocked"


def answers_in_time(server: Server, path: str) -> bool:
    """By a new connection each time, as a health check asks."""
    began = monotonic()
    with httpx.Client(base_url=server.url, timeout=3.0, trust_env=False) as http:
        return http.get(path).status_code == 200 and monotonic() - began < 1.0


def block(server: Server, pid: int) -> None:
    """And return when its watchdog has said so: it is blocked then, for three seconds more."""
    os.kill(pid, signal.SIGUSR2)
    eventually(lambda: SAID in server.log, 20, "the watchdog")


def test_f31_a_blocked_api_process_is_named_and_the_other_answers() -> None:
    with running_server(
        "--api-workers", "2", PYTHONPATH=BLOCKABLE, XINFERENCE_BLOCKED_LOOP_THRESHOLD="1"
    ) as server:
        uid = server.launch(model_uid="f31")
        block(server, server.pids("xinfer.api")[0])
        with ThreadPoolExecutor(4) as pool:
            paths = ["/livez", "/readyz", "/readyz?model=" + uid, "/health"] * 2
            assert all(pool.map(lambda path: answers_in_time(server, path), paths))
        assert "goes on" not in server.log  # all of this was while it was blocked
        eventually(lambda: "The event loop goes on" in server.log, 20)
        stack = server.log.partition(SAID)[2].partition("goes on")[0]
        assert "compute_for_five_seconds" in stack
        # Nobody took it for dead.
        assert len(server.pids("xinfer.api")) == 2


def test_f31_health_is_answered_while_the_only_api_process_is_blocked() -> None:
    with running_server(PYTHONPATH=BLOCKABLE, XINFERENCE_BLOCKED_LOOP_THRESHOLD="1") as server:
        uid = server.launch(model_uid="f31-alone")
        body = {"model": uid, "messages": [{"role": "user", "content": "later"}]}

        def ask() -> str:
            with httpx.Client(base_url=server.url, timeout=20.0, trust_env=False) as http:
                answer = http.post("/v1/chat/completions", json=body)
            return str(answer.json()["choices"][0]["message"]["content"])

        block(server, server.pids("xinfer.api")[0])
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(ask) for _ in range(3)]
            assert answers_in_time(server, "/livez")
            for path in ("/readyz", "/health", "/readyz?model=" + uid):
                refused = httpx.get(server.url + path, timeout=3.0, trust_env=False)
                assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
                assert refused.json()["error"]["code"] == "blocked"
            head = httpx.head(server.url + "/livez", timeout=3.0, trust_env=False)
            assert (head.status_code, head.content) == (200, b"")
            assert "goes on" not in server.log
            # What came meanwhile is answered afterwards, on the connections that were taken.
            assert [each.result() for each in waiting] == ["later"] * 3
        eventually(lambda: answers_in_time(server, "/readyz"), 20)


def test_f31_a_blocked_supervisor_holds_up_no_answer_and_loses_no_worker() -> None:
    with running_server(PYTHONPATH=BLOCKABLE, XINFERENCE_BLOCKED_LOOP_THRESHOLD="1") as server:
        uid = server.launch(model_uid="f31-supervisor")
        (pid,) = server.pids("xinfer.core.supervisor")
        block(server, pid)
        for path in ("/livez", "/readyz", "/readyz?model=" + uid):
            assert answers_in_time(server, path)
        body = {"model": uid, "messages": [{"role": "user", "content": "meanwhile"}]}
        answer = server.http.post("/v1/chat/completions", json=body)
        assert answer.json()["choices"][0]["message"]["content"] == "meanwhile"
        assert "goes on" not in server.log
        eventually(lambda: "The event loop goes on" in server.log, 20)
        (replica,) = server.replicas(uid)
        assert (replica["state"], replica["restarts"]) == ("READY", 0)
        assert "is lost" not in server.log
