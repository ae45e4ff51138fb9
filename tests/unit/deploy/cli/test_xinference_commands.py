"""Xinference's commands and flags in its own spelling: taken, and doing what they did there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from xinfer.deploy import absent, local, supervisor, worker
from xinfer.deploy.cli import follow, main
from xinfer.deploy.cli.launch import launch

LAUNCH = "POST /v1/models"

LAUNCH_FLAGS: list[tuple[str, dict[str, Any]]] = [
    ("--model-name tiny-chat", {"model_name": "tiny-chat"}),
    ("-n tiny-chat", {"model_name": "tiny-chat"}),
    ("--model-type embedding", {"model_type": "embedding"}),
    ("-t rerank", {"model_type": "rerank"}),
    ("--model-engine vLLM", {"model_engine": "vLLM"}),
    ("-en llama.cpp", {"model_engine": "llama.cpp"}),
    ("--model-uid mine", {"model_uid": "mine"}),
    ("-u mine", {"model_uid": "mine"}),
    ("--size-in-billions 7", {"model_size_in_billions": 7}),
    ("-s 0_5", {"model_size_in_billions": "0_5"}),
    ("-s 1.8", {"model_size_in_billions": "1.8"}),
    ("--model-format ggufv2", {"model_format": "ggufv2"}),
    ("-f pytorch", {"model_format": "pytorch"}),
    ("--quantization q4_0", {"quantization": "q4_0"}),
    ("-q Int4", {"quantization": "Int4"}),
    ("--replica 2", {"replica": 2}),
    ("-r 2", {"replica": 2}),
    ("--n-worker 1", {"n_worker": 1}),
    ("--n-gpu 2", {"n_gpu": 2}),
    ("--n-gpu auto", {"n_gpu": "auto"}),
    ("--n-gpu none", {"n_gpu": None}),
    (
        "--lora-modules a /l/a -lm b /l/b",
        {
            "peft_model_config": {
                "lora_list": [
                    {"lora_name": "a", "local_path": "/l/a"},
                    {"lora_name": "b", "local_path": "/l/b"},
                ],
                "image_lora_load_kwargs": {},
                "image_lora_fuse_kwargs": {},
            }
        },
    ),
    (
        "--image-lora-load-kwargs weight_name x -fd lora_scale 0.5",
        {
            "peft_model_config": {
                "lora_list": [],
                "image_lora_load_kwargs": {"weight_name": "x"},
                "image_lora_fuse_kwargs": {"lora_scale": 0.5},
            }
        },
    ),
    ("-ld a 1 --image-lora-fuse-kwargs b true", {}),
    ("--quantization-config load_in_4bit true", {"quantization_config": {"load_in_4bit": True}}),
    ("-qc bits 4", {"quantization_config": {"bits": 4}}),
    ("--worker-ip 10.0.0.2", {"worker_ip": "10.0.0.2"}),
    ("--gpu-idx 0,1", {"gpu_idx": [0, 1]}),
    ("--trust-remote-code True", {"trust_remote_code": True}),
    ("--model-path /m/x", {"model_path": "/m/x"}),
    ("--model_path /m/x", {"model_path": "/m/x"}),
    ("-mp /m/x", {"model_path": "/m/x"}),
    ("--enable-thinking", {"enable_thinking": True}),
    ("--enable-virtual-env", {"enable_virtual_env": True}),
    ("--disable-virtual-env", {"enable_virtual_env": False}),
    ("--virtual-env-package a -vp b==1", {"virtual_env_packages": ["a", "b==1"]}),
    ("--virtual-env-find-link /w", {"virtual_env_find_links": ["/w"]}),
    ("--env A 1 -ev B 2", {"envs": {"A": "1", "B": "2"}}),
    (
        "--n_ctx 4096 --max_model_len=8 --ratio 0.9 --flag true --nothing None --word abc",
        {"n_ctx": 4096, "max_model_len": 8, "ratio": 0.9, "flag": True, "word": "abc"},
    ),
    ("-ak secret", {}),
    ("--api-key secret", {}),
]


@pytest.mark.parametrize(("flags", "sent"), LAUNCH_FLAGS, ids=[flags for flags, _ in LAUNCH_FLAGS])
def test_launch_sends_what_its_flags_say(
    server: Any,
    xinference: Callable[..., Result],
    monkeypatch: pytest.MonkeyPatch,
    flags: str,
    sent: dict[str, Any],
) -> None:
    monkeypatch.setattr(follow, "_INTERVAL", 0)
    server.on(LAUNCH, {"model_uid": "m"})
    ready = {"model_uid": "m", "status": "READY", "replica_statuses": []}
    server.on("GET /v1/models/instances", [ready])
    name = [] if sent.get("model_name") else ["-n", "tiny-chat"]
    result = xinference("launch", *name, *flags.split())
    assert (result.exit_code, result.stdout) == (0, "Model uid: m\n"), result.output
    (body,) = server.bodies(LAUNCH)
    assert {key: body.get(key) for key in sent} == sent


def test_launch_knows_all_of_these_flags_but_the_engines() -> None:
    """As an option of the engine one would be sent all the same, and be missing from the help."""
    given = {
        word
        for flags, sent in LAUNCH_FLAGS
        if "n_ctx" not in sent
        for word in flags.split()
        if word.startswith("-")
    }
    declared = [[*parameter.opts, *parameter.secondary_opts] for parameter in launch.params]
    assert given <= {flag for flags in declared for flag in flags}


MODEL = {"model_type": "LLM", "model_name": "tiny-chat", "model_ability": ["chat", "generate"]}
CACHED = {
    "model_version": "v--1",
    "model_hub": "huggingface",
    "model_id": "a/b",
    "size_bytes": 1,
    "actor_ip_address": "10.0.0.2",
    "path": "/c",
}
TYPE = "/v1/model_registrations"

COMMANDS: list[tuple[str, str, Any]] = [
    ("list", "GET /v1/models", None),
    ("terminate --model-uid m", "DELETE /v1/models/m", None),
    (
        "register --file FILE",
        f"POST {TYPE}/LLM",
        {"model": "{}", "persist": False},
    ),
    (
        "register --model-type embedding -f FILE --persist",
        f"POST {TYPE}/embedding",
        {"model": "{}", "persist": True},
    ),
    (
        "register -t rerank -f FILE -p -w 10.0.0.2",
        f"POST {TYPE}/rerank",
        {"model": "{}", "persist": True, "worker_ip": "10.0.0.2"},
    ),
    ("register -f FILE --worker-ip 10.0.0.2", f"POST {TYPE}/LLM", {"worker_ip": "10.0.0.2"}),
    ("unregister --model-name m", f"DELETE {TYPE}/LLM/m", None),
    ("unregister -t image -n m", f"DELETE {TYPE}/image/m", None),
    ("unregister --model-type audio -n m", f"DELETE {TYPE}/audio/m", None),
    ("registrations", f"GET {TYPE}/LLM", None),
    *[
        (f"registrations {flag} {kind}", f"GET {TYPE}/{kind}", None)
        for flag in ("--model-type", "-t")
        for kind in ("LLM", "embedding", "rerank", "image", "audio", "flexible")
    ],
    ("cached", "GET /v1/cache/models", {}),
    ("cached --model_name m", "GET /v1/cache/models", {"model_name": "m"}),
    (
        "cached -n m --worker-ip 10.0.0.2",
        "GET /v1/cache/models",
        {"model_name": "m", "worker_ip": "10.0.0.2"},
    ),
    (
        "remove-cache --model_version v --check",
        "DELETE /v1/cache/models",
        {"model_version": "v"},
    ),
    (
        "remove-cache -n v --worker-ip 10.0.0.2 --check",
        "DELETE /v1/cache/models",
        {"model_version": "v", "worker_ip": "10.0.0.2"},
    ),
    (
        "chat --model-uid m --max_tokens 9 --stream False",
        "POST /v1/chat/completions",
        {"max_tokens": 9, "stream": False},
    ),
    (
        "generate --model-uid m --max_tokens 9 --stream False",
        "POST /v1/completions",
        {"max_tokens": 9, "stream": False},
    ),
    ("chat --model-uid m --stream False", "POST /v1/chat/completions", {"max_tokens": 512}),
    ("engine --model-name m", "GET /v1/engines/m", None),
    (
        "engine -n m -en xllamacpp -f ggufv2 -s 0_5 -q q4_0",
        "GET /v1/engines/m",
        None,
    ),
    (
        "engine -n m --model-engine xllamacpp --model-format ggufv2 --model-size-in-billions 0_5 "
        "--quantization q4_0",
        "GET /v1/engines/m",
        None,
    ),
    ("stop-cluster --check", "DELETE /v1/clusters", None),
]


@pytest.mark.parametrize(
    ("words", "route", "carried"), COMMANDS, ids=[words for words, _, _ in COMMANDS]
)
def test_a_command_asks_for_what_it_asked_for(
    server: Any, tmp_path: Path, words: str, route: str, carried: Any
) -> None:
    form = {
        "model_name": "m",
        "model_format": "ggufv2",
        "model_size_in_billions": "0_5",
        "quantizations": ["q4_0"],
    }
    text = {"index": 0, "message": {"content": "hello"}, "text": "hello", "finish_reason": "stop"}
    server.on("GET /v1/models", {"data": []})
    server.on("GET /v1/models/m", MODEL)
    server.on("GET /v1/cache/models", {"list": [CACHED]})
    server.on("GET /v1/cache/models/files", {"model_version": "v", "paths": ["/c"]})
    server.on("DELETE /v1/cache/models", {"result": True})
    server.on("GET /v1/engines/m", {"xllamacpp": [form]})
    server.on("DELETE /v1/clusters", {"result": True})
    for path in ("chat/completions", "completions"):
        server.on(f"POST /v1/{path}", {"choices": [text]})
    if route not in server.answers:
        server.on(route, [] if route.startswith("GET") else None)
    (tmp_path / "model.json").write_text("{}")
    arguments = words.replace("FILE", str(tmp_path / "model.json")).split()
    # XINFERENCE_ENDPOINT is not set here: the flag says where the server is.
    endpoint = "-e" if len(words) % 2 else "--endpoint"
    result = CliRunner().invoke(main, [*arguments, endpoint, server.url], input="hi\n")
    assert result.exit_code == 0, result.output
    asked = [request for request in server.requests if request.route == route]
    assert asked, [request.route for request in server.requests]
    if carried is not None:
        found = {**asked[0].query, **(asked[0].body or {})}
        assert {key: found.get(key) for key in carried} == carried


@pytest.mark.parametrize(
    "words",
    [
        "--model-name qwen2.5-instruct --size-in-billions 7 --model-format gptq "
        "--quantization Int4 --context-length 16384 --kv-cache-dtype 8",
        "-n qwen2.5-instruct -s 7 -f gptq -q Int4 -c 16384",
        "-s 1_8 -f pytorch -c 2048",
    ],
)
def test_memory_is_told_for_its_flags(words: str) -> None:
    result = CliRunner().invoke(main, ["cal-model-mem", *words.split()])
    assert result.exit_code == 0, result.output
    assert "gpu mem usage:" in result.stdout


@pytest.mark.parametrize(
    ("program", "words", "known"),
    [
        (local, "--log-level debug", {"log_level": "DEBUG"}),
        (local, "--host 0.0.0.0 --port 9998", {"host": "0.0.0.0", "port": 9998}),
        (local, "-H 0.0.0.0 -p 9998", {"host": "0.0.0.0", "port": 9998}),
        (local, "--metrics-exporter-host 0.0.0.0", {"metrics_exporter_host": "0.0.0.0"}),
        (local, "-MH 0.0.0.0 -mp 9999", {"metrics_exporter_port": 9999}),
        (local, "--metrics-exporter-port 9999", {"metrics_exporter_port": 9999}),
        (local, "", {"host": "127.0.0.1"}),
        (supervisor, "--log-level INFO -H 10.0.0.1 -p 9998", {"host": "10.0.0.1", "port": 9998}),
        (supervisor, "--host 10.0.0.1 --port 9998", {"host": "10.0.0.1", "port": 9998}),
        (supervisor, "--supervisor-port 9999", {"supervisor_port": 9999}),
        (supervisor, "", {"host": "0.0.0.0"}),
        (worker, "--log-level INFO -e http://s:9997", {"endpoint": "http://s:9997"}),
        (worker, "--endpoint http://s:9997", {"endpoint": "http://s:9997"}),
        (worker, "-H 10.0.0.2 --worker-port 9999", {"host": "10.0.0.2", "worker_port": 9999}),
        (worker, "--host 10.0.0.2", {"host": "10.0.0.2"}),
        (
            worker,
            "-MH 0.0.0.0 --metrics-exporter-port 9999",
            {"metrics_exporter_host": "0.0.0.0", "metrics_exporter_port": 9999},
        ),
        (worker, "", {"host": "0.0.0.0"}),
    ],
)
def test_servers_take_its_flags(program: Any, words: str, known: dict[str, Any]) -> None:
    options = vars(program.make_parser().parse_args(words.split()))
    assert {key: options[key] for key in known} == known


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        ("login --username a --password b -e http://s", "XINFERENCE_API_KEY"),
        ("login", "--api-key"),
        ("vllm-models", "xinference engine -n NAME"),
        ("vllm-models --endpoint http://s -ak k", "xinference engine -n NAME"),
    ],
)
def test_what_is_not_here_says_in_a_line_what_is(words: str, instead: str) -> None:
    result = CliRunner().invoke(main, words.split())
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert instead in result.stderr
    assert words.split()[0] not in CliRunner().invoke(main, ["--help"]).stdout


@pytest.mark.parametrize("name", ["xinference-migrate-auth", "xinference-reset-auth-password"])
def test_its_tools_for_users_say_in_a_line_what_is_here(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("sys.argv", [f"/usr/bin/{name}", "--db-path", "x"])
    with pytest.raises(SystemExit) as ended:
        absent.main()
    said = str(ended.value.code)
    assert said.startswith(f"{name}: ")
    assert "XINFERENCE_API_KEY" in said
    assert "\n" not in said


def test_every_command_of_xinference_is_known() -> None:
    theirs = (
        "launch list terminate register unregister registrations cached remove-cache generate chat "
        "vllm-models login engine cal-model-mem stop-cluster"
    )
    covered = {words.split()[0] for words, _, _ in COMMANDS}
    covered |= {"launch", "cal-model-mem", "login", "vllm-models"}
    assert set(theirs.split()) == covered
