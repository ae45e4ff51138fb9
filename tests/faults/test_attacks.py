"""Strangers: without a key on HTTP, with a pickle on an actor's port."""

from __future__ import annotations

import json
import os
import pickle
import re
import socket
import struct
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.certificates import make_certificate
from tests.support.cluster import running_cluster
from tests.support.program import Program
from tests.support.server import Server, running_server
from tests.support.waiting import eventually

PUBLIC = {
    "/livez",
    "/readyz",
    "/health",
    "/status",
    "/v1/cluster/auth",
    "/v1/address",
    "/v1/images/files/{name}",  # its name is a secret
}
"""Routes that answer without a key; the page's static files besides."""


def test_s01_every_route_wants_a_key_once_there_is_one() -> None:
    with running_server(XINFERENCE_API_KEY="s3cret-key-for-the-test") as server:
        key = {"Authorization": "Bearer s3cret-key-for-the-test"}
        schema = server.http.get("/openapi.json", headers=key).json()
        seen = 0
        for path, methods in schema["paths"].items():
            for method in methods:
                filled = re.sub(r"\{\w+\}", "x", path)
                answer = server.http.request(method.upper(), filled)
                if path in PUBLIC:
                    assert answer.status_code != 401, path
                    continue
                seen += 1
                assert answer.status_code == 401, (method, path, answer.status_code)
                assert answer.headers["www-authenticate"].startswith("Bearer")
                assert answer.json()["error"]["type"] == "authentication_error"
                wrong = server.http.request(
                    method.upper(), filled, headers={"Authorization": "Bearer wrong"}
                )
                assert wrong.status_code == 401, (method, path)
        assert seen >= 12
        for path in ("/openapi.json", "/docs", "/docs/", "/redoc", "/metrics", "/v1/nothing"):
            assert server.http.get(path).status_code in (401, 404), path
        assert server.http.get("/docs").status_code == 401
        assert server.http.get("/").status_code == 200
        assert server.http.get("/v1/cluster/auth").json() == {"auth": True}
        assert server.http.get("/v1/models", headers=key).status_code == 200
        assert "s3cret" not in server.log


class Gadget:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.open, (str(self.path), os.O_CREAT)


def _open_ports(*programs: Program) -> dict[str, set[int]]:
    """Addresses and TCP ports on which their processes listen."""
    ports: dict[str, set[int]] = {}
    for program in programs:
        for process in program.tree():
            with suppress(psutil.NoSuchProcess):  # such as a launch that is over
                for connection in process.net_connections("tcp"):
                    if connection.status == psutil.CONN_LISTEN:
                        ports.setdefault(connection.laddr.ip, set()).add(connection.laddr.port)
    return ports


def _internal_ports(server: Server) -> dict[str, set[int]]:
    """The same without that of the REST API."""
    rest = int(server.url.rpartition(":")[2])
    ports = {ip: found - {rest} for ip, found in _open_ports(server).items()}
    return {ip: found for ip, found in ports.items() if found}


def _attack(ip: str, port: int, mark: Path) -> None:
    """Send a gadget that would create the file `mark` in every framing that might be unpickled."""
    payload = pickle.dumps(Gadget(mark))
    # xoscar's own framing of a pickled message: a header with the lengths, then the buffers.
    header = pickle.dumps([{}, [len(payload)], [False]])
    frame = len(header).to_bytes(8, "little") + header + payload
    # And one whose header is the gadget: version, length, no compression.
    direct = struct.pack("<BQH", 1, len(payload), 0) + payload
    hello = b"xinfer/1 actor  " + bytes(64)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(ip, ip)
    for attack in (payload, frame, b"\x00" * 11 + frame, direct, hello + direct):
        with socket.create_connection((host, port), timeout=10) as stranger:
            try:
                stranger.sendall(attack)
                stranger.shutdown(socket.SHUT_WR)
                while stranger.recv(4096):
                    pass
            except OSError:
                pass  # it hung up


def test_s06_actor_ports_are_on_loopback_and_unpickle_nothing_of_strangers(
    server: Server, tmp_path: Path
) -> None:
    ports = _internal_ports(server)
    assert set(ports) == {"127.0.0.1"}
    assert len(ports["127.0.0.1"]) >= 2  # the supervisor's and the worker's
    mark = tmp_path / "it-ran"
    for port in ports["127.0.0.1"]:
        _attack("127.0.0.1", port, mark)
    assert not mark.exists()
    assert eventually(lambda: httpx.get(server.url + "/readyz", trust_env=False).is_success)


@pytest.mark.parametrize("encrypted", [False, True])
def test_s06_no_port_of_a_cluster_unpickles_what_strangers_send(
    tmp_path: Path, encrypted: bool
) -> None:
    """Actors and links beyond loopback too: whoever does not hold the token runs nothing."""
    tls: list[str] = []
    if encrypted:
        made = make_certificate(tmp_path)
        tls = ["--ssl-cluster-cert", made.cert, "--ssl-cluster-key", made.key]
    with running_cluster(*tls, host="0.0.0.0") as cluster:
        worker = cluster.add_worker("127.0.0.2", *tls)
        uid = cluster.server.launch(model_uid="s06")
        ports = _open_ports(cluster.server, worker)
        assert len(ports["0.0.0.0"]) == 2  # the API and the supervisor's actor
        assert len(ports["127.0.0.2"]) == 2  # the worker's actor and the replica's link
        assert sum(map(len, ports.values())) == 4
        mark = tmp_path / "it-ran"
        for ip, found in ports.items():
            for port in found:
                _attack(ip, port, mark)
        assert not mark.exists()
        cluster.chat(uid, "unharmed")


def test_s06_the_gadget_itself_works(tmp_path: Path) -> None:
    """Were it unpickled, the attack above would be seen."""
    mark = tmp_path / "it-ran"
    os.close(pickle.loads(pickle.dumps(Gadget(mark))))
    assert mark.exists()


def test_actors_refuse_to_listen_beyond_loopback() -> None:
    """The REST API may; the actors' ports stay on loopback whatever -H says."""
    with running_server(host="0.0.0.0") as server:
        assert set(_internal_ports(server)) == {"127.0.0.1"}
        assert "without a key" in server.log


def test_s13_what_callers_make_up_is_no_label(server: Server) -> None:
    uid = server.launch(model_uid="s13")
    before = _series(server)
    for number in range(30):
        name = f"made-up-{number}"
        body = {"model": name, "messages": [{"role": "user", "content": "x"}]}
        assert server.http.post("/v1/chat/completions", json=body).status_code == 404
        server.http.get(f"/{name}")
        server.http.get(f"/v1/models/{name}/replicas")
        server.http.request("PROPFIND", "/livez", headers={"x-request-id": name})
    after = _series(server)
    assert "made-up" not in " ".join(after)
    assert "PROPFIND" not in " ".join(after)
    assert len(after - before) < 30
    assert f'xinfer_replicas{{model="{uid}",state="READY"}}' in after
    server.terminate(uid)


def _series(server: Server) -> set[str]:
    lines = server.http.get("/metrics").text.splitlines()
    return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}


def test_keys_and_tokens_are_in_no_log_and_no_metric(tmp_path: Path) -> None:
    key = "s3cret-key-for-the-test"
    with running_server(
        "--log-level",
        "DEBUG",
        home=tmp_path,
        XINFERENCE_API_KEY=key,
        XINFERENCE_LOG_FORMAT="json",
    ) as server:
        server.http.headers["Authorization"] = f"Bearer {key}"
        uid = server.launch(model_uid="quiet", commands=True)
        body = {"model": uid, "messages": [{"role": "user", "content": "!fail 1"}]}
        refused = server.http.post(
            "/v1/chat/completions", json=body, headers={"x-request-id": "follow-me"}
        )
        assert refused.status_code == 500
        server.http.get(f"/v1/models/nothing?api_key={key}")
        server.http.get("/livez", headers={"Authorization": f"Basic {key}"})
        metrics = server.http.get("/metrics").text
        eventually(lambda: "follow-me" in (tmp_path / "logs" / "api.log").read_text(), 10)
        server.terminate(uid)
        console = server.log
    files = {path.name: path.read_text() for path in (tmp_path / "logs").rglob("*.log")}
    assert {"launcher.log", "supervisor.log", "worker.log", "api.log"} <= set(files)
    for name, text in {**files, "console": console, "metrics": metrics}.items():
        assert key not in text, name
        # The server's own tokens are 32 bytes, in hexadecimal where they are handed on.
        assert not re.search(r"\b[0-9a-f]{64}\b", text), name
    entries = [json.loads(line) for line in files["api.log"].splitlines()]
    (failed,) = [each for each in entries if each.get("request_id") == "follow-me"]
    assert (failed["role"], failed["level"]) == ("api", "WARNING")
