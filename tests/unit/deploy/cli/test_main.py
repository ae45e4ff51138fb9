"""The command itself: the local server, versions, usage errors, unreachable servers."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

import xinfer.deploy
from xinfer import __version__
from xinfer.deploy.cli import main


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments with which local servers were started."""
    calls: list[list[str]] = []
    local = ModuleType("xinfer.deploy.local")
    local.run = calls.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xinfer.deploy.local", local)
    monkeypatch.setattr(xinfer.deploy, "local", local, raising=False)
    return calls


@pytest.mark.parametrize(
    ("arguments", "passed_on"),
    [
        ([], []),
        (["-H", "0.0.0.0", "-p", "9998"], ["--host", "0.0.0.0", "--port", "9998"]),
        (["--log-level", "DEBUG"], ["--log-level", "DEBUG"]),
    ],
)
def test_without_a_command_the_local_server_starts(
    started: list[list[str]], arguments: list[str], passed_on: list[str]
) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert started == [passed_on]


def test_server_options_before_a_client_command_are_a_usage_error(
    started: list[list[str]],
) -> None:
    result = CliRunner().invoke(main, ["--port", "9998", "list"])
    assert result.exit_code == 2
    assert "--endpoint" in result.stderr
    assert started == []


@pytest.mark.parametrize("flag", ["--version", "-v"])
def test_the_version_is_printed(flag: str) -> None:
    assert CliRunner().invoke(main, [flag]).output == f"{__version__}\n"


def test_printing_the_version_loads_neither_the_client_nor_the_server() -> None:
    code = (
        "import sys; from xinfer.deploy.cli import main\n"
        "main(['--version'], standalone_mode=False)\n"
        "loaded = {'httpx', 'rich', 'fastapi', 'xinfer.client'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("name", main.list_commands(click.Context(main)))
def test_every_command_loads_and_takes_endpoint_and_key(name: str) -> None:
    command = main.get_command(click.Context(main), name)
    assert command is not None
    assert command.name == name
    flags = {flag for parameter in command.params for flag in parameter.opts}
    expected = {"--endpoint", "-e", "--api-key", "-ak"}
    assert (expected <= flags) is (
        name not in {"pull", "cal-model-mem", "completion"}  # which need no server
    )


@pytest.mark.parametrize("arguments", [["lst"], ["terminate"], ["list", "--fmt", "json"]])
def test_usage_errors_exit_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(main, arguments).exit_code == 2


def test_no_server_is_told_in_one_line_with_the_fix() -> None:
    with socket.socket() as unused:  # bound, not listening: connections are refused
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        result = CliRunner().invoke(main, ["list", "-e", endpoint])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    for words in (endpoint, "xinference-local", "-e", "XINFERENCE_ENDPOINT"):
        assert words in result.stderr


def test_an_endpoint_that_is_no_address_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["list", "-e", "localhost:9997"])
    assert result.exit_code == 2
    assert "http://127.0.0.1:9997" in result.stderr


def test_the_key_of_option_or_environment_is_sent(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/cluster/auth", {"auth": True})
    server.on("GET /v1/models", {"data": []})
    assert xinference("list", "-ak", "secret").exit_code == 0
    environment = {"XINFERENCE_ENDPOINT": server.url, "XINFERENCE_API_KEY": "other"}
    assert CliRunner(env=environment).invoke(main, ["list"]).exit_code == 0
    keys = [request.authorization for request in server.requests if "models" in request.route]
    assert keys == ["Bearer secret", "Bearer other"]


def test_a_missing_key_says_how_to_give_one(server: Any, xinference: Callable[..., Result]) -> None:
    server.on("GET /v1/models", server.failure(401, "no key"))
    result = xinference("list")
    assert result.exit_code == 1
    assert "Error: no key" in result.stderr
    assert "XINFERENCE_API_KEY" in result.stderr
