"""The `xinference` command against a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests.support.server import Server
from xinfer.model.catalog.catalogue import find_builtin


def run(server: Server, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.cli", *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "XINFERENCE_ENDPOINT": server.url},
    )


def test_launch_list_chat_logs_terminate(server: Server) -> None:
    launched = run(server, "launch", "-n", "echo", "-u", "cli", "--token_interval", "0.001")
    assert launched.returncode == 0, launched.stderr
    assert launched.stdout == "Model uid: cli\n"
    listed = run(server, "list")
    assert "cli" in listed.stdout
    assert "UID" in listed.stdout
    rows = json.loads(run(server, "list", "--format", "json").stdout)
    assert any(row["id"] == "cli" for row in rows)
    chat = run(server, "chat", "--model-uid", "cli", stdin="good morning\n早上好\n")
    assert chat.returncode == 0, chat.stderr
    assert "good morning" in chat.stdout
    assert "早上好" in chat.stdout
    assert run(server, "logs", "--model-uid", "cli").returncode == 0
    assert run(server, "terminate", "--model-uid", "cli").returncode == 0
    again = run(server, "terminate", "--model-uid", "cli-unknown")
    assert again.returncode == 1
    assert "cli-unknown" in again.stderr


def test_run_launches_once_and_answers(server: Server) -> None:
    first = run(server, "run", "echo", "good morning", "-u", "runner", "--token_interval", "0.001")
    assert (first.returncode, first.stdout) == (0, "good morning\n"), first.stderr
    again = run(server, "run", "runner", stdin="早上好")
    assert (again.returncode, again.stdout) == (0, "早上好\n"), again.stderr
    assert again.stderr == ""
    uids = [row["id"] for row in json.loads(run(server, "list", "--format", "json").stdout)]
    assert uids.count("runner") == 1
    server.terminate("runner")


def test_a_failed_launch_exits_non_zero_with_the_reason(server: Server) -> None:
    failed = run(server, "launch", "-n", "echo", "-u", "bad", "--fail_on_load", "no such luck")
    assert failed.returncode == 1
    assert "no such luck" in failed.stderr
    server.terminate("bad")
    unknown = run(server, "launch", "-n", "ekko")
    assert unknown.returncode == 1
    assert "echo" in unknown.stderr
    option = run(server, "launch", "-n", "echo", "--no_such_option", "1")
    assert option.returncode == 1
    assert "token_interval" in option.stderr


def test_without_a_server_the_fix_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.cli", "list", "-e", "http://127.0.0.1:9"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "xinference-local" in done.stderr


def test_a_file_is_described_registered_launched_by_name_and_let_go(
    server: Server, tmp_path: Path
) -> None:
    weights = find_builtin("tiny-chat").variants[0].local_path  # type: ignore[union-attr]
    (tmp_path / "my-model.gguf").symlink_to(weights)  # type: ignore[arg-type]
    answer = httpx.post(
        f"{server.url}/v1/models/llm/auto-register",
        json={"model_path": str(tmp_path / "my-model.gguf")},
    )
    description = {**answer.json(), "model_name": "my-model"}
    file = tmp_path / "my-model.json"
    file.write_text(json.dumps(description))
    assert run(server, "register", "--file", str(file), "--persist").returncode == 0
    try:
        again = run(server, "register", "--file", str(file))
        assert (again.returncode, "registered already" in again.stderr) == (1, True)
        table = run(server, "registrations").stdout.splitlines()
        (row,) = [line for line in table if "my-model" in line]
        assert row.split()[-1] == "False"
        assert run(server, "launch", "-n", "my-model").stdout == "Model uid: my-model\n"
        server.terminate("my-model")
    finally:
        assert run(server, "unregister", "-n", "my-model").returncode == 0
    assert "my-model" not in run(server, "registrations").stdout
