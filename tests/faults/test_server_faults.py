"""A process of the server itself dies or is stopped, or the machine gives it too little."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.support.server import Server, running_server
from tests.support.sse import read_stream
from tests.support.waiting import eventually


def _body(uid: str, content: str, **more: object) -> dict[str, object]:
    return {"model": uid, "messages": [{"role": "user", "content": content}], **more}


def _running(server: Server, uid: str) -> int:
    return int(server.http.get(f"/v1/models/{uid}/replicas").json()[0]["running"])


def test_f07_a_killed_api_process_comes_back_and_its_requests_leave_the_engine() -> None:
    with running_server() as server:
        uid = server.launch(model_uid="f07", token_interval=0.05)
        (api,) = server.pids("xinfer.api")

        def stream() -> str:
            body = _body(uid, "x" * 2000, stream=True)
            with server.http.stream("POST", "/v1/chat/completions", json=body) as answer:
                return "".join(answer.iter_lines())

        with ThreadPoolExecutor(4) as pool:
            streams = [pool.submit(stream) for _ in range(4)]
            eventually(lambda: _running(server, uid) == 4, 10)
            os.kill(api, signal.SIGKILL)
            for cut in streams:
                assert isinstance(cut.exception(timeout=5), Exception)
        # Seen through the process that takes its place, which has to start first.
        eventually(lambda: _running(server, uid) == 0, 20, "an empty engine")
        answer = server.http.post("/v1/chat/completions", json=_body(uid, "again"))
        assert answer.json()["choices"][0]["message"]["content"] == "again"
        assert server.replicas(uid)[0]["restarts"] == 0


def test_f07_one_of_two_api_processes_dies_and_no_new_request_fails() -> None:
    with running_server("--api-workers", "2") as server:
        uid = server.launch(model_uid="f07-two")
        killed = server.pids("xinfer.api")[0]
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: not psutil.pid_exists(killed), 5, "its end")
        for _ in range(50):
            answer = server.http.post(
                "/v1/chat/completions", json=_body(uid, "x"), headers={"Connection": "close"}
            )
            assert answer.status_code == 200, answer.text
        eventually(lambda: len(server.pids("xinfer.api")) == 2, 15)


def test_f24_sigterm_lets_streams_finish_and_refuses_new_work() -> None:
    with running_server(XINFERENCE_DRAIN_TIMEOUT="60") as server:
        # Eight seconds: on a busy machine, too, they run on when the late request comes.
        uid = server.launch(model_uid="f24", token_interval=0.05)
        body = _body(uid, "x" * 160, stream=True)

        def stream() -> tuple[str, bool]:
            with server.http.stream("POST", "/v1/chat/completions", json=body) as answer:
                transcript = read_stream(answer.iter_lines())
            return transcript.text, transcript.done

        with ThreadPoolExecutor(8) as pool:
            streams = [pool.submit(stream) for _ in range(8)]
            eventually(lambda: _running(server, uid) == 8, 10)
            # This one's connection is open before the signal, as a keep-alive client's would be.
            server.http.get("/livez").raise_for_status()
            server.process.send_signal(signal.SIGTERM)
            eventually(lambda: _is_draining(server), 2, "readiness to fall")
            refused = server.http.post("/v1/chat/completions", json=_body(uid, "late"))
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "draining"
            assert "retry-after" in refused.headers
            for running in streams:
                assert running.result(timeout=60) == ("x" * 160, True)
        assert server.process.wait(30) == 0


def _is_draining(server: Server) -> bool:
    return server.http.get("/readyz").status_code == 503


def test_f24_streams_beyond_the_drain_limit_end_with_an_error() -> None:
    with running_server(XINFERENCE_DRAIN_TIMEOUT="1") as server:
        uid = server.launch(model_uid="f24-long", token_interval=0.05)
        body = _body(uid, "x" * 3000, stream=True)
        with server.http.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = answer.iter_lines()
            next(lines)
            server.process.send_signal(signal.SIGTERM)
            transcript = read_stream(lines)
        assert not transcript.done
        assert transcript.error is not None
        assert transcript.error["code"] == "draining"
        assert server.process.wait(30) == 0


def _server_output(*arguments: str, files: int | None = None) -> tuple[int, str]:
    """Run a server that is expected to give up; its exit status and what it wrote."""

    def limit() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    done = subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.local", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=limit,
    )
    return done.returncode, done.stdout + done.stderr


def test_f28_a_port_in_use_is_said_plainly(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, output = _server_output("-p", str(port))
    assert status == 1
    assert f"Port {port} on 127.0.0.1 is in use" in output
    assert "-p" in output
    assert "Traceback" not in output


def test_f28_an_unknown_host_is_said_plainly() -> None:
    status, output = _server_output("-H", "192.0.2.1", "-p", "0")
    assert status == 1
    assert "no address of this machine" in output


def test_f28_too_few_open_files_to_start_are_said_plainly() -> None:
    status, output = _server_output("-p", "0", files=64)
    assert status == 1
    assert "ulimit" in output


def test_f28_running_out_of_descriptors_is_survived() -> None:
    """256 descriptors, 400 connections: the server answers again as soon as some have gone."""
    with running_server(files=256) as server:
        uid = server.launch(model_uid="f28")
        address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
        api = psutil.Process(server.pids("xinfer.api")[0])
        crowd = [socket.create_connection(address, timeout=30) for _ in range(400)]
        eventually(lambda: api.num_fds() >= 250, 10, "the last descriptor")
        for connection in crowd:
            connection.close()
        answer = eventually(
            lambda: server.http.post("/v1/chat/completions", json=_body(uid, "alive")), 30
        )
        assert answer.json()["choices"][0]["message"]["content"] == "alive"


def test_f28_a_machine_with_ipv6_loopback_only_serves() -> None:
    """In a network namespace of its own whose loopback has ::1 and no 127.0.0.1."""
    script = (
        "ip link set lo up && ip addr del 127.0.0.1/8 dev lo && "
        f"exec {sys.executable} -m tests.faults.serve_on_ipv6"
    )
    done = subprocess.run(
        ["unshare", "-Urn", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"content": "over six"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_an_idle_server_exits_with_zero(number: int) -> None:
    with running_server() as server:
        server.launch(model_uid="idle")
        assert server.stop(number) == 0
