"""How a server starts: what it logs, in which order, and what it does with its flags."""

from __future__ import annotations

import socket
from pathlib import Path

from tests.support.server import Server, running_server
from tests.support.waiting import eventually


def test_the_log_says_what_the_tutorials_show_in_their_order(server: Server) -> None:
    wanted = [
        f"Xinference successfully started. Endpoint: {server.url}",
        "has been added successfully",
        "Xinference worker successfully started.",
        "The page is at",
    ]
    lines = server.log.splitlines()
    positions = [next(i for i, line in enumerate(lines) if text in line) for text in wanted]
    assert positions == sorted(positions)
    for position in positions:
        date, time, logger, pid, level = lines[position].split()[:5]
        assert date.count("-") == 2
        assert time.count(":") == 2
        assert logger.startswith("xinfer")
        assert pid.isdigit()
        assert level == "INFO"


def test_a_model_named_at_the_start_is_launched() -> None:
    with running_server("--model", "echo") as server:
        ready = eventually(
            lambda: [i for i in server.instances("echo") if i["status"] == "READY"], 30
        )
        assert ready


def test_without_p_the_next_free_port_is_taken() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 9997))
            taken.listen()
        except OSError:
            pass  # somebody else has it, which serves as well
        with running_server(port=None) as server:
            assert int(server.url.rpartition(":")[2]) > 9997


def test_health_needs_no_model_and_ready_can_ask_for_one(server: Server) -> None:
    assert server.http.get("/livez").status_code == 200
    assert server.http.get("/readyz").status_code == 200
    assert server.http.get("/health").status_code == 200
    assert server.http.get("/readyz", params={"model": "nobody"}).status_code in (404, 503)
    uid = server.launch(model_uid="asked-for")
    assert server.http.get("/readyz", params={"model": uid}).status_code == 200
    status = server.http.get("/status").json()
    assert status["uptime"] >= 0
    assert len(status["workers"]) == 1
    assert server.http.get("/v1/cluster/auth").json() == {"auth": False}
    server.terminate(uid)


def test_declared_models_are_launched_changed_and_ended_as_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"

    def states(server: Server) -> dict[str, str]:
        entries = server.http.get("/v1/autostart/models").json()["models"]
        return {each["launch"]["model_uid"]: each["state"]["status"] for each in entries}

    def ready(server: Server) -> set[str]:
        found = server.http.get("/v1/models").json()["data"]
        return {f"{each['id']}:{each['replica']}" for each in found}

    file.write_text(
        "models:\n  - {model_name: echo, model_uid: one}\n  - {model_name: echo, model_uid: two}\n"
    )
    with running_server("--config", str(file), home=tmp_path) as server:
        eventually(lambda: states(server) == {"one": "active", "two": "active"}, 30)
        server.launch(model_uid="mine")
        assert ready(server) == {"one:1", "two:1", "mine:1"}
        taken = server.http.delete("/v1/autostart/models/one")
        assert (taken.status_code, taken.json()["error"]["code"]) == (409, "declared_in_file")
        answer = server.http.post(
            "/v1/autostart/models", json={"model_name": "echo", "model_uid": "by-api"}
        )
        assert answer.status_code == 200
        eventually(lambda: states(server)["by-api"] == "active", 30)
    file.write_text("models:\n  - {model_name: echo, model_uid: one, replica: 2}\n")
    with running_server(home=tmp_path, XINFERENCE_CONFIG=str(file)) as server:
        eventually(lambda: ready(server) == {"one:2", "by-api:1", "mine:1"}, 30)
        assert states(server) == {"one": "active", "by-api": "active"}
