"""Conversations: through a pipe, at a terminal, stopped, failed."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

CHAT = "POST /v1/chat/completions"
GENERATE = "POST /v1/completions"
FLAGS = ("--model-uid", "m")


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


@pytest.fixture
def model(server: Any) -> Any:
    """A server with a model that chats."""
    server.on("GET /v1/models/m", {"model_type": "LLM", "model_ability": ["chat"]})
    return server


def test_a_pipe_is_one_turn_a_line_and_only_answers_come_out(
    model: Any, xinference: Callable[..., Result]
) -> None:
    model.on(
        CHAT,
        model.stream(delta(role="assistant"), delta(content="Hel"), delta(content="lo")),
        model.stream(delta(content="你好")),
    )
    result = xinference("chat", *FLAGS, "--max-tokens", "9", stdin="hi\nand?\n")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "Hello\n你好\n", "")
    first, second = model.bodies(CHAT)
    assert first == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 9,
        "stream": True,
    }
    assert second["messages"] == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "and?"},
    ]


def test_an_empty_line_ends_the_conversation(model: Any, xinference: Callable[..., Result]) -> None:
    model.on(CHAT, model.stream(delta(content="Hello")))
    assert xinference("chat", *FLAGS, stdin="hi\n\nnever\n").stdout == "Hello\n"
    assert len(model.bodies(CHAT)) == 1


def test_without_streaming_the_answer_is_the_same(
    model: Any, xinference: Callable[..., Result]
) -> None:
    model.on(CHAT, {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]})
    result = xinference("chat", *FLAGS, "--stream", "False", "--max_tokens", "9", stdin="hi\n")
    assert result.stdout == "Hello\n"
    assert model.bodies(CHAT)[0]["stream"] is False
    assert model.bodies(CHAT)[0]["max_tokens"] == 9


def test_an_answer_cut_at_the_limit_says_so(model: Any, xinference: Callable[..., Result]) -> None:
    cut = {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}
    model.on(CHAT, model.stream(delta(content="Hel"), cut))
    result = xinference("chat", *FLAGS, stdin="hi\n")
    assert result.stdout == "Hel\n"
    assert "cut short by --max-tokens 512" in result.stderr


@pytest.mark.parametrize("streamed", [False, True])
def test_a_failure_in_a_pipe_exits_with_1(
    model: Any, xinference: Callable[..., Result], streamed: bool
) -> None:
    frame = {"error": {"message": "the replica died", "code": "replica_lost"}}
    refusal = model.failure(502, "the replica died")
    model.on(CHAT, model.stream(delta(content="Hel"), frame) if streamed else refusal)
    result = xinference("chat", *FLAGS, stdin="hi\nnever\n")
    assert result.exit_code == 1
    assert "Error: the replica died\n" in result.stderr
    assert len(model.bodies(CHAT)) == 1


def test_a_model_that_cannot_chat_points_to_generate(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/models/m", {"model_type": "LLM", "model_ability": ["generate"]})
    result = xinference("chat", *FLAGS, stdin="hi\n")
    assert result.exit_code == 1
    assert "xinference generate --model-uid m" in result.stderr


@pytest.mark.parametrize("kind", ["embedding", "rerank", "video"])
@pytest.mark.parametrize("command", ["chat", "generate"])
def test_a_model_of_another_type_is_named(
    server: Any, xinference: Callable[..., Result], kind: str, command: str
) -> None:
    server.on("GET /v1/models/m", {"model_type": kind})
    result = xinference(command, *FLAGS, stdin="hi\n")
    assert result.exit_code == 1
    assert f"{kind!r}" in result.stderr


def test_generate_continues_each_line_by_itself(
    model: Any, xinference: Callable[..., Result]
) -> None:
    model.on(GENERATE, model.stream({"choices": [{"text": " time"}]}))
    assert xinference("generate", *FLAGS, stdin="Once\nA\n").stdout == " time\n time\n"
    assert [body["prompt"] for body in model.bodies(GENERATE)] == ["Once", "A"]


def test_ctrl_c_stops_the_answer_and_not_the_program(
    model: Any, xinference_process: Callable[..., Any]
) -> None:
    held = model.stream(delta(content="Hel"), hold=True)
    model.on(CHAT, held, model.stream(delta(content="Bye")))
    with xinference_process("chat", *FLAGS) as process:
        process.stdin.write("hi\n")
        process.stdin.flush()
        assert process.stdout.read(3) == "Hel"
        process.send_signal(signal.SIGINT)
        assert held.left.wait(timeout=30)
        output, errors = process.communicate("more\n", timeout=30)
    assert (process.returncode, output) == (0, "\nBye\n")
    assert "(stopped)" in errors
    assert [message["content"] for message in model.bodies(CHAT)[1]["messages"]] == [
        "hi",
        "Hel",
        "more",
    ]


def test_at_a_terminal_there_are_prompts_and_a_failure_is_not_the_end(model: Any) -> None:
    model.on(
        CHAT,
        model.failure(503, "overloaded"),
        model.stream(delta(reasoning_content="Hm."), delta(content="Hello")),
    )
    ours, theirs = pty.openpty()
    command = "from xinfer.deploy.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", command, "chat", *FLAGS, "-e", model.url],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(theirs)
        os.write(ours, b"hi\nagain\n\n")
        output, errors = process.communicate(timeout=30)
    os.close(ours)
    assert process.returncode == 0
    assert "Error: overloaded" in errors
    assert "User: Assistant: " in output
    assert "Hm.Hello\n" in output
    # The turn that failed is not part of the conversation.
    assert model.bodies(CHAT)[1]["messages"] == [{"role": "user", "content": "again"}]
