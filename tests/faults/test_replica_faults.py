"""A model's process dies: idle, in the middle of streams, over and over."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.support.server import Server
from tests.support.sse import Transcript, read_stream
from tests.support.waiting import eventually


def _state(server: Server, uid: str) -> tuple[str, int]:
    replica = server.replicas(uid)[0]
    return replica["state"], replica["restarts"]


def _stream(
    server: Server,
    uid: str,
    content: str,
    begun: threading.Event | None = None,
    **fields: Any,
) -> Transcript:
    """Read a whole stream; `begun` is set once some of its text has come."""
    request = {
        "model": uid,
        "stream": True,
        "messages": [{"role": "user", "content": content}],
        **fields,
    }

    def noted(lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            if begun is not None and read_stream([line]).text:
                begun.set()
            yield line

    with server.http.stream("POST", "/v1/chat/completions", json=request) as answer:
        assert answer.status_code == 200, answer.read()
        return read_stream(noted(answer.iter_lines()))


def test_f01_a_killed_idle_replica_comes_back_by_itself(server: Server) -> None:
    uid = server.launch(model_uid="f01")
    other = server.launch(model_uid="f01-other")
    untouched = server.replicas(other)[0]["pid"]
    pid = server.replicas(uid)[0]["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: server.replicas(uid)[0]["state"] != "READY" or _new(server, uid, pid), 2)
    eventually(lambda: _new(server, uid, pid), 15, "READY again")
    assert _state(server, uid) == ("READY", 1)
    assert _stream(server, uid, "after").text == "after"
    assert server.replicas(other)[0]["pid"] == untouched
    assert server.replicas(other)[0]["restarts"] == 0
    server.terminate(uid)
    server.terminate(other)


def _new(server: Server, uid: str, old_pid: int) -> bool:
    replica = server.replicas(uid)[0]
    return replica["state"] == "READY" and replica["pid"] not in (None, old_pid)


def test_f02_streams_of_a_killed_replica_go_on_once_it_is_back(server: Server) -> None:
    uid = server.launch(model_uid="f02", token_interval=0.05)
    pid = server.replicas(uid)[0]["pid"]
    said = [str(number) * 60 for number in range(8)]
    begun = [threading.Event() for _ in said]
    with ThreadPoolExecutor(9) as pool:
        streams = [
            pool.submit(_stream, server, uid, text, each)
            for text, each in zip(said, begun, strict=True)
        ]
        assert all(each.wait(30) for each in begun)
        # The last to come, so that it still runs when the process is killed.
        whole = {"model": uid, "messages": [{"role": "user", "content": "x" * 60}]}
        retried = pool.submit(server.http.post, "/v1/chat/completions", json=whole)
        eventually(lambda: _running(server, uid) == 9, 10, "nine running requests")
        os.kill(pid, signal.SIGKILL)
        transcripts = [stream.result(timeout=60) for stream in streams]
        answer = retried.result(timeout=60)
    assert [transcript.text for transcript in transcripts] == said
    assert all(transcript.done and transcript.error is None for transcript in transcripts)
    assert {each.chunks[-1]["usage"]["completion_tokens"] for each in transcripts} == {60}
    assert server.replicas(uid)[0]["restarts"] == 1
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["content"] == "x" * 60
    server.terminate(uid)


def test_f02_a_stream_that_cannot_go_on_ends_with_an_error(server: Server) -> None:
    """Its log-probabilities could not be told as they would have been."""
    uid = server.launch(model_uid="f02-logprobs", token_interval=0.05)
    pid = server.replicas(uid)[0]["pid"]
    begun = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(_stream, server, uid, "s" * 2000, begun, logprobs=True)
        assert begun.wait(30)
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        transcript = stream.result(timeout=10)
    assert time.monotonic() - killed < 2.0
    assert transcript.error is not None
    assert transcript.error["code"] == "replica_lost"
    assert not transcript.done
    server.terminate(uid)


def test_f02_a_request_that_cannot_be_retried_in_time_is_502(server: Server) -> None:
    uid = server.launch(model_uid="f02-lost", commands=True)
    body = {"model": uid, "messages": [{"role": "user", "content": "!die"}]}
    answer = server.http.post("/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 502, answer.text
    assert answer.json()["error"]["code"] == "replica_lost"
    assert int(answer.headers["retry-after"]) >= 1
    server.terminate(uid)


def _running(server: Server, uid: str) -> int:
    return int(server.replicas(uid)[0]["running"])


def test_f03_a_crash_loop_ends_in_error_with_its_reason(server: Server) -> None:
    answer = server.http.post(
        "/v1/models",
        json={
            "model_name": "echo",
            "model_uid": "f03",
            "fail_on_load": "the weights are upside down",
        },
        timeout=120,
    )
    assert answer.status_code >= 500, answer.text
    assert "the weights are upside down" in answer.json()["error"]["message"]
    instance = server.instances("f03")[0]
    assert instance["status"] == "ERROR"
    body = {"model": "f03", "messages": [{"role": "user", "content": "hi"}]}
    started = time.monotonic()
    refused = server.http.post("/v1/chat/completions", json=body)
    assert time.monotonic() - started < 1.0
    assert refused.status_code == 503
    assert "the weights are upside down" in refused.json()["detail"]
    logs = server.http.get("/v1/models/f03/logs").json()
    assert any("upside down" in line for replica in logs["replicas"] for line in replica["lines"])
    server.terminate("f03")


def test_f03_a_process_that_dies_while_loading_is_explained(server: Server) -> None:
    answer = server.http.post(
        "/v1/models",
        json={"model_name": "echo", "model_uid": "f03-die", "die_on_load": -11},
        timeout=120,
    )
    assert answer.status_code >= 500
    assert "SIGSEGV" in answer.json()["error"]["message"]
    server.terminate("f03-die")
