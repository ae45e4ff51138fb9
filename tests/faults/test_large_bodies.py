"""Large requests and answers: of many uploads at once, to a model that is busy or over connections
that stall, what is not held is refused; and memory stays within its bounds."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support import idle_engine
from tests.support.idle_engine.idler import FOREVER, LARGE, LARGE_BYTES, make_model
from tests.support.server import Server, running_server
from tests.support.waiting import eventually

MIB = 1 << 20
UPLOAD = 12 * MIB
UPLOADS = 24
HELD, QUEUED = 96 * MIB, 48 * MIB
"""Of the API process, and of what waits for a replica."""


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the model `busy`, which draws for one client that stays."""
    folder = make_model(tmp_path_factory.mktemp("model") / "idle")
    with running_server(
        PYTHONPATH=str(Path(idle_engine.__file__).parent),
        XINFERENCE_MAX_HELD_BYTES=str(HELD),
        XINFERENCE_MAX_QUEUE_BYTES=str(QUEUED),
    ) as server:
        server.launch(str(folder), model_uid="busy", model_type="image", model_engine="idler")
        yield server


@contextlib.contextmanager
def occupied(server: Server) -> Iterator[None]:
    """The model's only slot is taken meanwhile."""
    with contextlib.closing(_connect(server)) as connection:
        body = json.dumps({"model": "busy", "prompt": FOREVER}).encode()
        _send_head(connection, "generations", len(body))
        connection.sendall(body)
        eventually(lambda: _counts(server)[0] == 1, 30, "a busy model")
        yield


def test_s08_what_waits_for_a_busy_model_is_bounded_in_bytes(busy: Server) -> None:
    before = _memory_from_now(busy)
    with ThreadPoolExecutor(UPLOADS) as pool:
        with occupied(busy):
            uploads = [pool.submit(_upload, busy) for _ in range(UPLOADS)]

            def settled() -> bool:
                return sum(upload.done() for upload in uploads) + _counts(busy)[1] == UPLOADS

            eventually(settled, 60, "the last of them, waiting or refused")
        answers = [upload.result(60) for upload in uploads]
    served = [answer for answer in answers if answer.status_code == 200]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(served) == QUEUED // UPLOAD - 1  # a request is a little more than its file
    assert len(refused) == UPLOADS - len(served)
    for answer in refused:
        assert answer.json()["error"]["code"] == "overloaded"
        assert answer.headers["retry-after"] == "1"
    assert any("XINFERENCE_MAX_QUEUE_BYTES" in answer.text for answer in refused)
    api, replica = _memory_since(busy, before)
    assert api < 3 * HELD
    assert replica < 2 * QUEUED


def test_s08_bodies_that_come_slowly_are_bounded_in_bytes(busy: Server) -> None:
    before = _memory_from_now(busy)
    picture = base64.b64encode(bytes(UPLOAD)).decode()
    body = json.dumps({"model": "busy", "prompt": "", "image": picture}).encode()
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(_connect(busy)) for _ in range(UPLOADS)]
        for connection in connections:
            _send_head(connection, "edits", len(body))
            connection.sendall(body[:-1])
        for connection in connections:
            connection.sendall(body[-1:])
        answers = [connection.recv(4096) for connection in connections]
    served = sum(answer.startswith(b"HTTP/1.1 200 ") for answer in answers)
    refused = [answer for answer in answers if answer.startswith(b"HTTP/1.1 503 ")]
    assert 1 <= served <= HELD // len(body)
    assert len(refused) == UPLOADS - served
    assert any(b"XINFERENCE_MAX_HELD_BYTES" in answer for answer in refused)
    assert _memory_since(busy, before)[0] < 4 * HELD


@pytest.mark.parametrize("form", ["b64_json", "url"])
def test_a_large_answer_costs_little_memory(busy: Server, form: str) -> None:
    prompts, each = 3, 8
    before = _memory_from_now(busy)
    body = {"model": "busy", "prompt": [LARGE] * prompts, "n": each, "response_format": form}
    with busy.http.stream("POST", "/v1/images/generations", json=body) as answer:
        assert answer.status_code == 200
        length = sum(len(part) for part in answer.iter_raw())
    if form == "b64_json":
        assert length > prompts * each * LARGE_BYTES * 4 // 3
    assert _memory_since(busy, before)[0] < prompts * each * LARGE_BYTES * 3 // 4


def _upload(server: Server) -> httpx.Response:
    with httpx.Client(base_url=server.url, timeout=120, trust_env=False) as http:
        return http.post(
            "/v1/images/edits",
            data={"model": "busy", "prompt": "a"},
            files={"image": bytes(UPLOAD)},
        )


def _connect(server: Server) -> socket.socket:
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=60)


def _send_head(connection: socket.socket, route: str, length: int) -> None:
    connection.sendall(
        f"POST /v1/images/{route} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n".encode()
    )


def _counts(server: Server) -> tuple[int, int]:
    """Requests of the model that run and that wait."""
    [status] = server.replicas("busy")
    return status["running"], status["waiting"]


def _memory_from_now(server: Server) -> tuple[int, int]:
    """What the API process and the replica have, in bytes; their peaks are counted anew where the
    kernel does so, and are what they have had else."""
    for pid in _pids(server):
        with contextlib.suppress(OSError):
            Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _peaks(server)


def _memory_since(server: Server, before: tuple[int, int]) -> tuple[int, int]:
    """How much more than before they had at most."""
    api, replica = _peaks(server)
    return api - before[0], replica - before[1]


def _pids(server: Server) -> tuple[int, int]:
    [api], [replica] = server.pids("xinfer.api"), server.pids("xinfer.core.replica")
    return api, replica


def _peaks(server: Server) -> tuple[int, int]:
    api, replica = (_peak(pid) for pid in _pids(server))
    return api, replica


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10  # type: ignore[index]
