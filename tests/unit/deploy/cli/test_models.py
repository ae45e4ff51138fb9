"""What list, terminate, cancel, logs and registrations print and do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import Result

CHAT = {
    "id": "tiny-chat",
    "model_type": "LLM",
    "model_name": "tiny-chat",
    "model_format": "ggufv2",
    "model_size_in_billions": 7,
    "quantization": "F16",
}
BGE = {"id": "bge", "model_type": "embedding", "model_name": "bge-m3", "dimensions": 1024}


def test_list_prints_a_table_for_each_type_on_stdout(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/models", {"data": [BGE, CHAT]})
    result = xinference("list")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "UID        Type  Name       Format  Size (in billions)  Quantization",
        "---------  ----  ---------  ------  ------------------  ------------",
        "tiny-chat  LLM   tiny-chat  ggufv2                   7  F16",
        "",
        "UID  Type       Name    Dimensions",
        "---  ---------  ------  ----------",
        "bge  embedding  bge-m3        1024",
        "",
    ]


def test_list_without_models_says_on_stderr_how_to_launch_one(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/models", {"data": []})
    result = xinference("list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.count("\n") == 1
    assert "xinference launch -n" in result.stderr


def test_list_as_json_is_what_the_server_says(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/models", {"data": [CHAT, BGE]}, {"data": []})
    assert json.loads(xinference("list", "--format", "json").stdout) == [CHAT, BGE]
    assert json.loads(xinference("list", "--format", "json").stdout) == []


def test_terminate_and_cancel_name_the_model_to_the_server(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("DELETE /v1/models/m", None)
    server.on("POST /v1/models/m/cancel", None)
    assert xinference("terminate", "--model-uid", "m").exit_code == 0
    assert xinference("cancel", "m").exit_code == 0
    assert [request.route for request in server.requests if "auth" not in request.route] == [
        "DELETE /v1/models/m",
        "POST /v1/models/m/cancel",
    ]


def test_a_refusal_is_the_servers_message_and_exit_1(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("DELETE /v1/models/m", server.failure(404, "Model m not found; did you mean n?"))
    result = xinference("terminate", "--model-uid", "m")
    assert result.exit_code == 1
    assert result.stderr == "Error: Model m not found; did you mean n?\n"


def test_logs_name_the_replicas_if_there_are_several(
    server: Any, xinference: Callable[..., Result]
) -> None:
    one = {"replica_id": 0, "lines": ["a", "b"]}
    server.on(
        "GET /v1/models/m/logs",
        {"replicas": [one]},
        {"replicas": [one, {"replica_id": 1, "lines": ["c"]}]},
    )
    assert xinference("logs", "--model-uid", "m").stdout == "a\nb\n"
    assert xinference("logs", "--model-uid", "m").stdout.splitlines() == [
        "==> replica 0 <==",
        "a",
        "b",
        "==> replica 1 <==",
        "c",
    ]


def test_registrations_are_one_request_and_one_table(
    server: Any, xinference: Callable[..., Result]
) -> None:
    model = {
        "model_name": "tiny-chat",
        "model_lang": ["en", "zh"],
        "model_ability": ["chat"],
        "is_builtin": True,
    }
    server.on("GET /v1/model_registrations/LLM", [model])
    assert xinference("registrations").stdout.splitlines() == [
        "Type  Name       Language  Ability  Is-built-in",
        "----  ---------  --------  -------  -----------",
        "LLM   tiny-chat  en, zh    chat     True",
    ]
    asked = [request for request in server.requests if "registrations" in request.route]
    assert [request.query for request in asked] == [{"detailed": "true"}]
    assert json.loads(xinference("registrations", "--format", "json").stdout) == [model]


def test_a_type_without_registrations_is_told(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/model_registrations/audio", [])
    result = xinference("registrations", "-t", "audio")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No model of type audio" in result.stderr


def test_a_file_is_registered_as_it_is(
    server: Any, xinference: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "mine.json"
    file.write_text('{"model_name": "模型"}', encoding="utf-8")
    server.on("POST /v1/model_registrations/embedding", None)
    done = xinference("register", "-t", "embedding", "-f", str(file), "-p")
    assert (done.exit_code, done.output) == (0, "")
    assert server.bodies("POST /v1/model_registrations/embedding") == [
        {"model": '{"model_name": "模型"}', "persist": True, "worker_ip": None}
    ]


def test_a_registration_that_is_refused_says_why(
    server: Any, xinference: Callable[..., Result], tmp_path: Path
) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(b"\xff")
    failed = xinference("register", "-f", str(file))
    assert failed.exit_code == 1
    assert "mine.json" in failed.stderr
    file.write_text("{}")
    server.on("POST /v1/model_registrations/LLM", server.failure(400, "model_name is missing."))
    failed = xinference("register", "-f", str(file))
    assert (failed.exit_code, "model_name is missing." in failed.stderr) == (1, True)
    assert xinference("register", "-f", str(tmp_path / "none.json")).exit_code == 2


def test_a_model_is_unregistered(server: Any, xinference: Callable[..., Result]) -> None:
    server.on("DELETE /v1/model_registrations/LLM/mine", None)
    done = xinference("unregister", "-n", "mine")
    assert (done.exit_code, done.output) == (0, "")
