"""How a server starts: what it logs, in which order, and what it does with its flags."""

from __future__ import annotations

import socket

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
