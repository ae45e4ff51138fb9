"""What launch sends, shows, and exits with."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import Result

from xinfer.deploy.cli import follow
from xinfer.deploy.cli.launch import absolute_path, engine_options

LAUNCH = "POST /v1/models"
INSTANCES = "GET /v1/models/instances"
PROGRESS = "GET /v1/models/m/progress"


def instance(status: str, *errors: str) -> list[dict[str, Any]]:
    replicas = [{"replica_id": i, "error_message": error} for i, error in enumerate(errors)]
    return [{"model_uid": "m", "status": status, "replica_statuses": replicas}]


@pytest.fixture(autouse=True)
def _poll_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_INTERVAL", 0)


@pytest.fixture
def ready(server: Any) -> Any:
    """A server whose model is ready at once."""
    server.on(LAUNCH, {"model_uid": "m"})
    server.on(INSTANCES, instance("READY"))
    return server


def test_a_launch_is_followed_until_it_is_ready(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on(LAUNCH, {"model_uid": "m"})
    server.on(INSTANCES, [], instance("CREATING"), instance("LOADING"), instance("READY"))
    server.on(
        PROGRESS,
        {"progress": 0.42, "stage": "downloading"},
        {"progress": 0.8, "stage": "loading"},
    )
    result = xinference("launch", "-n", "tiny-chat")
    assert (result.exit_code, result.stdout) == (0, "Model uid: m\n")
    assert result.stderr.splitlines() == [
        "Launching model:  42% downloading",
        "Launching model:  80% loading",
        "Launching model: 100% ready",
    ]
    launch = next(request for request in server.requests if request.route == LAUNCH)
    assert launch.query == {"wait_ready": "false"}
    assert launch.body == {
        "model_name": "tiny-chat",
        "model_type": None,
        "replica": 1,
        "n_worker": 1,
        "n_gpu": "auto",
    }


def test_what_was_chosen_and_why_is_said(server: Any, xinference: Callable[..., Result]) -> None:
    (chosen,) = instance("READY")
    chosen |= {
        "model_name": "qwen-chat",
        "model_size_in_billions": 7.0,
        "model_format": "ggufv2",
        "quantization": "Q4_K_M",
        "model_engine": "xllamacpp",
        "engine_reason": "It is the best.",
    }
    server.on(LAUNCH, {"model_uid": "m"})
    server.on(INSTANCES, [chosen])
    result = xinference("launch", "-n", "qwen-chat")
    assert "qwen-chat 7B ggufv2 Q4_K_M: It is the best." in result.stderr


def test_every_flag_reaches_the_server(ready: Any, xinference: Callable[..., Result]) -> None:
    flags = (
        "-n q -t LLM -en vLLM -u m -s 0_5 -f pytorch -q none -r 2 --n-worker 2 --n-gpu none "
        "-lm a /a --lora-modules b /b -ld x 1 -fd y 0.5 -qc load_in_4bit True --worker-ip w "
        "--gpu-idx 0,1 --trust-remote-code True --model_path /p --enable-thinking "
        "--disable-virtual-env --exist-ok -vp p==1 -vp r --virtual-env-find-link /l -ev A 1 "
        "-ev B b --n-ctx 2048 --request_limits=3 --temp -0.5 --cache None --sampling.top_k 4 "
        "--fast true --label rack=1 --label disk=a=b --priority 2 --download-hub modelscope "
        "--alias gpt-4o-mini --alias gpt"
    )
    result = xinference("launch", *flags.split())
    assert result.exit_code == 0, result.stderr
    assert "Launch model name: q with kwargs: {'n_ctx': 2048" in result.stderr
    assert ready.bodies(LAUNCH) == [
        {
            "model_name": "q",
            "model_type": "LLM",
            "model_engine": "vLLM",
            "model_uid": "m",
            "model_size_in_billions": "0_5",
            "model_format": "pytorch",
            "quantization": "none",
            "replica": 2,
            "n_worker": 2,
            "n_gpu": None,
            "peft_model_config": {
                "lora_list": [
                    {"lora_name": "a", "local_path": "/a"},
                    {"lora_name": "b", "local_path": "/b"},
                ],
                "image_lora_load_kwargs": {"x": 1},
                "image_lora_fuse_kwargs": {"y": 0.5},
            },
            "worker_ip": "w",
            "gpu_idx": [0, 1],
            "model_path": "/p",
            "enable_thinking": True,
            "enable_virtual_env": False,
            "aliases": ["gpt-4o-mini", "gpt"],
            "virtual_env_packages": ["p==1", "r"],
            "virtual_env_find_links": ["/l"],
            "envs": {"A": "1", "B": "b"},
            "quantization_config": {"load_in_4bit": True},
            "download_hub": "modelscope",
            "trust_remote_code": True,
            "exist_ok": True,
            "n_ctx": 2048,
            "request_limits": 3,
            "temp": -0.5,
            "cache": None,
            "sampling.top_k": 4,
            "fast": True,
            "worker_labels": {"rack": "1", "disk": "a=b"},
            "priority": 2,
        }
    ]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], {}),
        (["--enable-thinking"], {"enable_thinking": True}),
        (["--disable-thinking"], {"enable_thinking": False}),
    ],
)
def test_whether_to_think_is_said_only_where_it_was_asked(
    ready: Any, xinference: Callable[..., Result], flags: list[str], said: dict[str, bool]
) -> None:
    assert xinference("launch", "-n", "m", *flags).exit_code == 0
    (body,) = ready.bodies(LAUNCH)
    assert {key: body[key] for key in body if key == "enable_thinking"} == said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "m", "--n-ctx"], "Option --n-ctx needs a value"),
        (["-n", "m", "stray"], "'stray' is neither an option nor the value of one"),
        (["-n", "m", "--model_engine", "vLLM"], "model_engine is no option of an engine"),
        (["-n", "m", "--n-gpu", "some"], "'some' is not a number"),
        (["-n", "m", "--label", "rack"], "'rack' is not of the form KEY=VALUE"),
        (["--n-ctx", "1"], "--model-name"),
    ],
)
def test_wrong_usage_exits_with_2_and_launches_nothing(
    server: Any, xinference: Callable[..., Result], arguments: list[str], message: str
) -> None:
    result = xinference("launch", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert server.bodies(LAUNCH) == []


def test_engine_options_may_hold_an_equals_sign_in_their_value() -> None:
    assert engine_options(["--x=a=b", "--y", "c=d"]) == {"x": "a=b", "y": "c=d"}
    with pytest.raises(click.UsageError):
        engine_options(["-x", "1"])


def test_engine_options_that_are_paths_are_made_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    here = os.getcwd()
    assert engine_options(
        ["--a", "./x", "--b", "~/x", "--c", "mm.gguf", "--d", "off", "--e", ".5", "--f", "/m.gguf"]
    ) == {
        "a": os.path.join(here, "x"),
        "b": "/home/me/x",
        "c": os.path.join(here, "mm.gguf"),
        "d": "off",
        "e": 0.5,
        "f": "/m.gguf",
    }


def test_paths_of_adapters_are_made_absolute(
    ready: Any, xinference: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    result = xinference("launch", "-n", "m", "-lm", "a", "a.gguf", "-lm", "b", "~/b.gguf")
    assert result.exit_code == 0, result.stderr
    (body,) = ready.bodies(LAUNCH)
    assert body["peft_model_config"]["lora_list"] == [
        {"lora_name": "a", "local_path": os.path.join(os.getcwd(), "a.gguf")},
        {"lora_name": "b", "local_path": "/home/me/b.gguf"},
    ]


def test_a_path_is_made_absolute_and_a_name_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert absolute_path("a.gguf") == os.path.join(os.getcwd(), "a.gguf")
    assert absolute_path("./dir") == os.path.join(os.getcwd(), "dir")
    assert absolute_path("~/a.GGUF") == "/home/me/a.GGUF"
    assert absolute_path("/m/a.gguf") == "/m/a.gguf"
    assert absolute_path("tiny-chat") == "tiny-chat"
    assert absolute_path("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"
    assert absolute_path("hf:a/b/c.gguf") == "hf:a/b/c.gguf"


def test_a_refused_launch_prints_the_reason_and_exits_with_1(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on(LAUNCH, server.failure(400, "Unknown model tiny; did you mean tiny-chat?"))
    result = xinference("launch", "-n", "tiny")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: Unknown model tiny; did you mean tiny-chat?\n"


def test_a_failed_launch_prints_the_reason_and_the_last_lines_and_exits_with_1(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on(LAUNCH, {"model_uid": "m"})
    server.on(INSTANCES, instance("ERROR", "out of memory", "out of memory"))
    lines = [f"line {number}" for number in range(30)]
    server.on("GET /v1/models/m/logs", {"replicas": [{"replica_id": 0, "lines": lines}]})
    result = xinference("launch", "-n", "m")
    assert (result.exit_code, result.stdout) == (1, "")
    told = result.stderr.splitlines()
    assert told[0] == "Error: launching m failed: out of memory"
    assert told[1] == "Last lines of replica 0:"
    assert told[2:-1] == [f"  line {number}" for number in range(10, 30)]
    assert "xinference logs --model-uid m" in told[-1]


def test_a_failed_launch_without_a_readable_log_still_says_why(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on(LAUNCH, {"model_uid": "m"})
    server.on(INSTANCES, instance("ERROR", "bad file"))
    server.on("GET /v1/models/m/logs", server.failure(404, "no log"))
    result = xinference("launch", "-n", "m")
    assert result.exit_code == 1
    assert "launching m failed: bad file" in result.stderr
    assert "Its log cannot be read: no log" in result.stderr


def test_a_model_terminated_meanwhile_is_a_failure(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on(LAUNCH, {"model_uid": "m"})
    server.on(INSTANCES, instance("LOADING"), [])
    server.on(PROGRESS, {"progress": 0.8, "stage": "loading"})
    result = xinference("launch", "-n", "m")
    assert result.exit_code == 1
    assert "m was terminated while it was being launched" in result.stderr


def test_a_server_that_is_away_for_a_moment_is_waited_for(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on(LAUNCH, {"model_uid": "m"})
    server.on(INSTANCES, server.failure(503, "supervisor restarts"), instance("READY"))
    assert xinference("launch", "-n", "m").exit_code == 0


def test_a_server_that_stays_away_ends_the_wait(
    server: Any, xinference: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "_PATIENCE", 0)
    server.on(LAUNCH, {"model_uid": "m"})
    server.on(INSTANCES, server.failure(503, "no supervisor"))
    result = xinference("launch", "-n", "m")
    assert result.exit_code == 1
    assert "Error: no supervisor" in result.stderr


@pytest.fixture
def loading(server: Any) -> Any:
    """A server whose model loads and loads."""
    server.on(LAUNCH, {"model_uid": "m"})
    server.on(INSTANCES, instance("LOADING"))
    server.on(PROGRESS, {"progress": 0.8, "stage": "loading"})
    server.on("POST /v1/models/m/cancel", None)
    return server


def interrupt(process: Any) -> None:
    """Ctrl-C once the launch is being followed; returns when the question is there."""
    assert "loading" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "\n"
    question = "Do you want to cancel model launching? (y/[n]): "
    assert process.stderr.read(len(question)) == question


def test_ctrl_c_and_y_cancel_the_launch(
    loading: Any, xinference_process: Callable[..., Any]
) -> None:
    with xinference_process("launch", "-n", "m") as process:
        interrupt(process)
        output, errors = process.communicate("y\n", timeout=30)
    assert process.returncode == 1
    assert output == ""
    assert "the launch of m was cancelled" in errors
    assert len(loading.bodies("POST /v1/models/m/cancel")) == 1


def test_ctrl_c_and_n_go_on(loading: Any, xinference_process: Callable[..., Any]) -> None:
    with xinference_process("launch", "-n", "m") as process:
        interrupt(process)
        loading.on(INSTANCES, instance("READY"))
        output, _ = process.communicate("n\n", timeout=30)
    assert (process.returncode, output) == (0, "Model uid: m\n")
    assert loading.bodies("POST /v1/models/m/cancel") == []


def test_ctrl_c_without_an_answer_leaves_the_launch_alone(
    loading: Any, xinference_process: Callable[..., Any]
) -> None:
    with xinference_process("launch", "-n", "m") as process:
        interrupt(process)
        _, errors = process.communicate("", timeout=30)
    assert process.returncode == 1
    assert "the launch of m goes on" in errors
    assert loading.bodies("POST /v1/models/m/cancel") == []
