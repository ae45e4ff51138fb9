"""`xinference-local`: what it checks before anything starts."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys

import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route

from xinfer.api.app import create_app
from xinfer.core.gateway import Control, Gateway, RoutingTable
from xinfer.deploy import head, local
from xinfer.deploy.command import OWN_PATHS
from xinfer.settings import Settings


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.local", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, **environment},
    )


def test_a_port_in_use_ends_it_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("-p", str(port))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"xinference-local: Port {port} on 127.0.0.1 is in use. Stop the server that has it, or "
        "choose another one with -p.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-p", "70000"], "'70000' is no number from 0 to 65535"),
        (["-p", "http"], "'http' is no number from 0 to 65535"),
        (["--api-workers", "0"], "'0' is no number from 1 to 64"),
        (["--log-level", "loud"], "LOUD"),
        ([""], "there is no option or argument ''."),
        (["--colour"], "there is no option or argument --colour."),
        (["--modle", "m"], "there is no option or argument --modle; did you mean --model?"),
    ],
)
def test_a_bad_argument_is_named_with_what_is_expected(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        local.run(arguments)
    assert exit_.value.code == 2
    said = capsys.readouterr().err
    assert complaint in said
    assert said.startswith("xinference-local: ")
    assert said.endswith(" See `xinference-local --help`.\n")
    assert said.count("\n") == 1


def test_a_bad_setting_ends_it_naming_the_variable() -> None:
    ended = run(XINFERENCE_MAX_QUEUE="many")
    assert ended.returncode == 1
    assert ended.stderr == (
        "xinference-local: XINFERENCE_MAX_QUEUE='many': expected a whole number, 0 or more\n"
    )


def test_too_few_open_files_end_it_with_what_to_do() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.local"],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)),
    )
    assert ended.returncode == 1
    assert "only 64 open files" in ended.stderr
    assert "ulimit -n" in ended.stderr


def test_the_launchers_process_imports_nothing_but_the_standard_library() -> None:
    code = (
        "import sys, xinfer.deploy.local\n"
        "known = sys.stdlib_module_names | {'xinfer', '__main__'}\n"
        "print({name.partition('.')[0] for name in sys.modules} - known)"
    )
    # -S: an environment's own start-up files do not count.
    found = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("host", "key", "warns"),
    [
        ("127.0.0.1", "", False),
        ("::1", "", False),
        ("localhost", "", False),
        ("0.0.0.0", "", True),
        ("::", "", True),
        ("0.0.0.0", "secret", False),
    ],
)
def test_an_open_door_is_warned_of(
    host: str, key: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    head.warn_if_open(host, Settings(api_key=key))
    assert ("without a key" in caplog.text) is warns
    assert "secret" not in caplog.text


@pytest.mark.parametrize("path", ["/v1/models", "v1", "/docs/", "/ui/x"])
def test_a_root_path_of_the_servers_own_is_refused(path: str) -> None:
    ended = run("--root-path", path)
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        f"xinference-local: the root path /{path.strip('/')} is one of the server's own"
    )
    assert ended.stderr.count("\n") == 1


def test_all_paths_of_the_server_are_known_as_its_own() -> None:
    table, settings = RoutingTable(), Settings()
    app = create_app(Gateway(table, settings), Control("unix:/x", b"", table, settings), settings)
    paths = [route.path for route in app.routes if isinstance(route, (APIRoute, Mount, Route))]
    assert {path.split("/")[1] for path in paths} - {"", "{path:path}"} == OWN_PATHS
