"""What a client can do wrong over HTTP: leave, read slowly, send too much or nonsense."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.support.server import Server, running_server
from tests.support.waiting import eventually


@pytest.fixture(params=[1, 2], ids=["one-api", "two-apis"], scope="module")
def apis(request: pytest.FixtureRequest, server: Server) -> Iterator[Server]:
    """A server with one and with two API processes."""
    if request.param == 1:
        yield server
        return
    with running_server("--api-workers", "2") as two:
        yield two


def _chat(uid: str, content: str, **body: Any) -> dict[str, Any]:
    return {"model": uid, "messages": [{"role": "user", "content": content}], **body}


def _connect(server: Server) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=30)


def _post(connection: socket.socket, body: dict[str, Any]) -> None:
    payload = json.dumps(body).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    connection.sendall(head.encode() + payload)


def _in_engine(server: Server, uid: str) -> tuple[int, int]:
    """Requests of the model that run and that wait, as its replica reports them."""
    status = server.http.get(f"/v1/models/{uid}/replicas").json()[0]
    return status["running"], status["waiting"]


def test_f11_a_client_that_leaves_frees_its_place_wherever_it_was(server: Server) -> None:
    uid = server.launch(
        model_uid="f11", concurrency=2, max_queue=4, token_interval=0.05, prefill_seconds=0.5
    )
    endless = {"max_tokens": 4000, "ignore_eos": True}
    for stream in (True, False):
        leavers = []
        for _ in range(6):  # two in the engine (in prefill first), four waiting
            connection = _connect(server)
            _post(connection, _chat(uid, "leave", stream=stream, **endless))
            leavers.append(connection)
        eventually(lambda: _in_engine(server, uid) == (2, 4), 10, "a full house")
        refused = server.http.post("/v1/chat/completions", json=_chat(uid, "no room"))
        assert refused.status_code == 503
        for connection in leavers:
            connection.close()
        left = time.monotonic()
        eventually(lambda: _in_engine(server, uid) == (0, 0), 5, "an empty house")
        assert time.monotonic() - left < 2.0
    answer = server.http.post("/v1/chat/completions", json=_chat(uid, "still here"))
    assert answer.json()["choices"][0]["message"]["content"] == "still here"
    server.terminate(uid)


def test_f11_a_thousand_leavers_leave_nothing_behind(server: Server) -> None:
    uid = server.launch(model_uid="f11-loop", token_interval=0.01)
    process = psutil.Process(server.pids("xinfer.api")[0])

    def leave_at_once(count: int) -> None:
        for _ in range(count):
            connection = _connect(server)
            _post(connection, _chat(uid, "x" * 200, stream=True))
            connection.recv(64)
            connection.close()

    def settle() -> None:
        eventually(lambda: _in_engine(server, uid) == (0, 0), 10, "an empty engine")

    leave_at_once(100)
    settle()
    fds, memory = process.num_fds(), process.memory_info().rss
    leave_at_once(1000)
    settle()
    eventually(lambda: process.num_fds() <= fds + 8, 10, "closed descriptors")
    assert process.memory_info().rss < memory + (16 << 20)
    server.terminate(uid)


def test_f12_slow_readers_cost_bounded_memory_and_harm_nobody() -> None:
    """Two hundred readers that take nothing: their requests end, and a normal one is served."""
    with (
        running_server(
            XINFERENCE_STREAM_WRITE_TIMEOUT="2", XINFERENCE_STREAM_BACKLOG="65536"
        ) as server,
        contextlib.ExitStack() as slow,
    ):
        uid = server.launch(
            model_uid="f12", concurrency=256, context_length=1_000_000, tokens_per_step=1024
        )
        process = psutil.Process(server.pids("xinfer.api")[0])
        before = process.memory_info().rss
        for _ in range(200):
            connection = slow.enter_context(_connect(server))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            _post(
                connection,
                _chat(uid, "y" * 1000, stream=True, ignore_eos=True, max_tokens=900_000),
            )
        eventually(lambda: _in_engine(server, uid)[0] > 0, 30)
        answer = server.http.post("/v1/chat/completions", json=_chat(uid, "quick"), timeout=30)
        assert answer.json()["choices"][0]["message"]["content"] == "quick"
        eventually(lambda: _in_engine(server, uid) == (0, 0), 120, "the end of slow streams")
        assert _peak_memory(process) < before + (64 << 20)


def _peak_memory(process: psutil.Process) -> int:
    """The most that it has ever had, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10  # type: ignore[index]


TOO_MUCH: dict[str, tuple[bytes, int]] = {
    "oversize": (b'{"model": "m", "messages": "' + b"x" * (40 << 20) + b'"}', 413),
    "deep": (b'{"model": "m", "messages": ' + b"[" * 100_000 + b"}", 400),
    "huge-n": (json.dumps(_chat("f14", "x", n=10**9)).encode(), 400),
    "huge-stop": (json.dumps(_chat("f14", "x", stop=["s"] * 100_000)).encode(), 400),
    "long-prompt": (json.dumps(_chat("f14", "x" * 10_000_000)).encode(), 400),
}


def test_f14_too_much_of_anything_is_refused_quickly(server: Server) -> None:
    uid = server.launch(model_uid="f14")
    for name, (body, status) in TOO_MUCH.items():
        answer = _raw_post(server, body)
        assert answer[0] == status, (name, answer)
        assert json.loads(answer[1])["error"]["message"]
    with ThreadPoolExecutor(len(TOO_MUCH)) as pool:  # and the event loop serves others meanwhile
        floods = [pool.submit(_raw_post, server, body) for body, _ in TOO_MUCH.values()]
        slowest = 0.0
        while not all(flood.done() for flood in floods):
            started = time.monotonic()
            assert server.http.get("/livez").status_code == 200
            slowest = max(slowest, time.monotonic() - started)
    assert slowest < 1.0
    server.terminate(uid)


def _raw_post(
    server: Server, body: bytes, content_type: str = "application/json"
) -> tuple[int, bytes]:
    """A post that reads an early answer even while its body is still being refused."""
    address = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    try:
        # It may be refused before all of it was sent.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", "/v1/chat/completions", body, {"Content-Type": content_type})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _with(fields: bytes, content: bytes = b'"x"') -> bytes:
    """A chat body, well-formed but for what is put into it."""
    return b'{"model": "f15", "messages": [{"role": "user", "content": %s}]%s}' % (content, fields)


MALFORMED: dict[str, bytes] = {
    "truncated": b'{"model": "f15", "messages": [',
    "not-an-object": b"[1, 2]",
    "empty": b"",
    "wrong-type": b'{"model": "f15", "messages": "hello"}',
    "wrong-inner-type": _with(b"", content=b"7"),
    "nan": _with(b', "temperature": NaN'),
    "infinity": _with(b', "top_p": Infinity'),
    "invalid-utf8": _with(b"", content=b'"\xff\xfe"'),
    "lone-surrogate": _with(b"", content=b'"\\ud800"'),
    "duplicate-keys": _with(b', "model": "g"'),
    "unknown-role": b'{"model": "f15", "messages": [{"role": "emperor", "content": "x"}]}',
    "negative-max-tokens": _with(b', "max_tokens": -1'),
    "model-number": b'{"model": 7, "messages": [{"role": "user", "content": "x"}]}',
    "no-messages": b'{"model": "f15", "messages": []}',
}


def test_f15_malformed_bodies_are_400_with_the_error_envelope(server: Server) -> None:
    uid = server.launch(model_uid="f15")
    for name, body in MALFORMED.items():
        status, answer = _raw_post(server, body)
        error = json.loads(answer)
        assert status == 400, (name, answer)
        assert set(error["error"]) >= {"message", "type", "param", "code"}, name
        assert error["detail"] == error["error"]["message"], name
        assert "Traceback" not in answer.decode(), name
    status, answer = _raw_post(server, json.dumps(_chat(uid, "x")).encode(), "text/plain")
    assert status == 400, answer
    unknown = server.http.post("/v1/chat/completions", json=_chat(uid, "x", flavour="mint"))
    assert unknown.status_code == 200
    assert unknown.headers["x-ignored-fields"] == "flavour"
    server.terminate(uid)


def test_f16_a_burst_never_exceeds_the_waiting_room(apis: Server) -> None:
    """1,000 at once on 100 slots and 100 places: 200 are taken and complete, the rest are 503."""
    # No slot is free again before all have come, on a busy machine neither.
    uid = apis.launch(model_uid="f16", concurrency=100, max_queue=100, prefill_seconds=10.0)
    address = urlsplit(apis.url)
    body = json.dumps(_chat(uid, "burst")).encode()
    request = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    connections = []
    for _ in range(1000):
        connection = socket.create_connection((address.hostname, address.port), timeout=120)
        connection.sendall(request)
        connections.append(connection)
    eventually(lambda: _in_engine(apis, uid) == (100, 100), 10, "a full house")
    assert min(_refused_after(apis, uid) for _ in range(10)) < 0.05  # seconds; others are noise
    answers = [_read_all(connection) for connection in connections]
    statuses = [int(answer.split(b" ", 2)[1]) for answer in answers]
    assert statuses.count(200) == 200
    assert statuses.count(503) == 800
    for status, answer in zip(statuses, answers, strict=True):
        if status == 503:
            assert b"retry-after:" in answer.lower()
            assert b'"overloaded"' in answer
        else:
            assert b"burst" in answer
    apis.terminate(uid)


def test_a_models_request_limits_hold_exactly_and_may_change_while_it_runs(apis: Server) -> None:
    uid = apis.launch(
        model_uid="limited", replica=2, concurrency=8, request_limits=5, prefill_seconds=60.0
    )

    def ask(stream: bool) -> tuple[int, str | None, str]:
        body = _chat(uid, "one more", stream=stream)
        answer = apis.http.post("/v1/chat/completions", json=body)
        return answer.status_code, answer.headers.get("retry-after"), answer.json()["error"]["type"]

    def total(*counts: str) -> int:
        there = apis.http.get(f"/v1/models/{uid}/replicas").json()
        return sum(each[count] for each in there for count in counts)

    def running() -> int:
        return total("running", "waiting")

    connections = [_connect(apis) for _ in range(7)]
    for connection in connections[:5]:
        _post(connection, _chat(uid, "long"))
    eventually(lambda: running() == 5, 10, "five requests in it")
    assert {ask(stream) for stream in (True, False)} == {(429, "1", "rate_limit_error")}
    assert running() == 5
    wider = apis.http.patch(f"/v1/models/{uid}", json={"request_limits": 7})
    assert (wider.status_code, wider.json()["request_limits"]) == (200, 7)
    eventually(lambda: total("capacity") == 7, 10, "replicas that know")
    for connection in connections[5:]:
        _post(connection, _chat(uid, "long"))
    eventually(lambda: running() == 7, 10, "two more")
    assert ask(True)[0] == 429
    for connection in connections:
        connection.close()
    apis.terminate(uid)


def _refused_after(server: Server, uid: str) -> float:
    """Seconds until one request more is refused."""
    began = time.monotonic()
    answer = server.http.post("/v1/chat/completions", json=_chat(uid, "too many"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
    return time.monotonic() - began


def _read_all(connection: socket.socket) -> bytes:
    parts = []
    while data := connection.recv(65536):
        parts.append(data)
    connection.close()
    return b"".join(parts)


def test_abort_by_request_id_works_from_any_api_process(apis: Server) -> None:
    uid = apis.launch(model_uid="abort", token_interval=0.02)
    body = _chat(uid, "z" * 3000, stream=True)
    with httpx.Client(base_url=apis.url, trust_env=False) as client:
        for number in range(6):  # enough that both processes get some of each kind
            request_id = f"abort-{number}"
            with client.stream(
                "POST", "/v1/chat/completions", json=body, headers={"X-Request-Id": request_id}
            ) as answer:
                lines = answer.iter_lines()
                next(lines)
                with httpx.Client(base_url=apis.url, trust_env=False) as other:
                    path = f"/v1/models/{uid}/requests/{request_id}/abort"
                    assert other.post(path, json={}).json() == {"msg": "DONE"}
                    assert other.post(path, json={}).json() == {"msg": "NOT_FOUND"}
                rest = list(lines)
            assert "data: [DONE]" not in rest
            assert any('"error"' in line for line in rest)
    apis.terminate(uid)


def test_s15_request_ids_are_sanitised_and_capped(server: Server) -> None:
    for sent in ("a" * 5000, "evil\tid<script>", "ok-1.2_3"):
        answer = server.http.get("/livez", headers={"X-Request-Id": sent})
        got = answer.headers["x-request-id"]
        assert len(got) <= 128
        assert all(character.isalnum() or character in "._-" for character in got)
    assert answer.headers["x-request-id"] == "ok-1.2_3"
