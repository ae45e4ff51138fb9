"""What `engine` shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

ROUTE = "GET /v1/engines/qwen-chat"
ANSWERS = {
    "xllamacpp": [
        {
            "model_name": "qwen-chat",
            "model_format": "ggufv2",
            "model_size_in_billions": size,
            "quantizations": ["Q4_K_M", "Q8_0"],
        }
        for size in (7, "1_8")
    ],
    "vllm": "The engine vllm is not in this version of xinfer.",
}


@pytest.fixture
def answering(server: Any) -> Any:
    server.on(ROUTE, ANSWERS)
    return server


@pytest.mark.usefixtures("answering")
def test_engines_that_can_are_a_table_and_the_others_say_why(
    xinference: Callable[..., Result],
) -> None:
    result = xinference("engine", "-n", "qwen-chat")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0].split("  ")[0] == "Name"
    assert "Q4_K_M, Q8_0" in result.stdout
    assert "vllm: The engine vllm is not in this version of xinfer." in result.stderr


@pytest.mark.usefixtures("answering")
def test_flags_leave_what_they_name(xinference: Callable[..., Result]) -> None:
    lines = xinference("engine", "-n", "qwen-chat", "-s", "1.8", "-q", "q8_0").stdout.splitlines()
    assert len(lines) == 3
    assert "1_8" in lines[2]
    result = xinference("engine", "-n", "qwen-chat", "-f", "pytorch")
    assert result.exit_code == 1
    assert "no engine here runs qwen-chat" in result.stderr


@pytest.mark.usefixtures("answering")
def test_programs_get_all_there_is(xinference: Callable[..., Result]) -> None:
    result = xinference("engine", "-n", "qwen-chat", "-en", "VLLM", "--format", "json")
    assert json.loads(result.stdout) == {"vllm": ANSWERS["vllm"]}
