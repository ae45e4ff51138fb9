"""`xinference-local`: what it checks before anything starts, and what it tells its processes."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from xinfer.deploy import servers
from xinfer.deploy.launcher import Child
from xinfer.settings import Settings


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.servers", *arguments],
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
        (["--colour"], "--colour"),
    ],
)
def test_a_bad_argument_is_named_with_what_is_expected(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        servers.local(arguments)
    assert exit_.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_bad_setting_ends_it_naming_the_variable() -> None:
    ended = run(XINFERENCE_MAX_QUEUE="many")
    assert ended.returncode == 1
    assert ended.stderr == (
        "xinference-local: XINFERENCE_MAX_QUEUE='many': expected a whole number, 0 or more\n"
    )


def test_too_few_open_files_end_it_with_what_to_do() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.servers"],
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
        "import sys, xinfer.deploy.servers\n"
        "known = sys.stdlib_module_names | {'xinfer', '__main__'}\n"
        "print({name.partition('.')[0] for name in sys.modules} - known)"
    )
    # -S: an environment's own start-up files do not count.
    found = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert found.stdout.strip() == "set()"


def children(run_dir: Path, *arguments: str) -> dict[str, Child]:
    options = servers._parser().parse_args(arguments)
    made = servers._children(options, 5, "127.0.0.1", str(run_dir), "http://127.0.0.1:9997")
    return {child.name: child for child in made}


def test_processes_come_after_those_they_need_and_api_processes_leave_first(
    tmp_path: Path,
) -> None:
    made = children(tmp_path, "--api-workers", "2")
    assert list(made) == ["supervisor", "api-0", "api-1", "worker"]
    assert made["api-0"].after == made["api-1"].after == ("supervisor",)
    assert made["worker"].after == ("supervisor", "api-0", "api-1")
    ranks = {name: child.stop_rank for name, child in made.items()}
    assert max(ranks["api-0"], ranks["api-1"]) < min(ranks["supervisor"], ranks["worker"])


def test_each_process_holds_the_secrets_it_needs_and_none_is_in_an_environment(
    tmp_path: Path,
) -> None:
    made = children(tmp_path)
    made["supervisor"].facts = {"address": "127.0.0.1:40000"}
    supervisor, api, worker = (made[name].configure() for name in ("supervisor", "api", "worker"))
    assert supervisor["control_token"] == api["control_token"]
    assert supervisor["cluster_token"] == worker["cluster_token"]
    assert supervisor["control"] == api["control"] == f"unix:{tmp_path}/supervisor.sock"
    assert worker["supervisor"] == "127.0.0.1:40000"
    assert "cluster_token" not in api
    assert "control_token" not in worker
    other = children(tmp_path)["supervisor"].configure()
    secrets = {c[key] for c in (supervisor, other) for key in ("control_token", "cluster_token")}
    assert len(secrets) == 4
    assert all(len(bytes.fromhex(secret)) == 32 for secret in secrets)
    for child in made.values():
        assert not secrets & set(child.environment.values())


def test_only_api_processes_get_the_listening_socket(tmp_path: Path) -> None:
    made = children(tmp_path)
    assert {name: child.pass_fds for name, child in made.items()} == {
        "supervisor": (),
        "api": (5,),
        "worker": (),
    }
    assert made["api"].configure()["sockets"] == [5]


def test_several_api_processes_share_a_directory_for_their_metrics(tmp_path: Path) -> None:
    made = children(tmp_path, "--api-workers", "3")
    apis = [made[f"api-{index}"] for index in range(3)]
    directories = {child.environment["PROMETHEUS_MULTIPROC_DIR"] for child in apis}
    assert directories == {child.configure()["metrics_dir"] for child in apis}
    assert Path(directories.pop()).is_dir()
    assert [child.configure()["index"] for child in apis] == [0, 1, 2]
    (tmp_path / "one").mkdir()
    alone = children(tmp_path / "one")["api"]
    assert "PROMETHEUS_MULTIPROC_DIR" not in alone.environment


@pytest.mark.parametrize("name", ["supervisor", "worker"])
def test_a_process_that_is_started_again_asks_for_the_port_it_had(
    tmp_path: Path, name: str
) -> None:
    made = children(tmp_path)
    made["supervisor"].facts = {"address": "127.0.0.1:40000"}
    if name == "worker":
        assert made[name].configure()["port"] == 0
        made[name].facts = {"address": "127.0.0.1:40001"}
    port = int(made[name].facts["address"].rpartition(":")[2])
    assert made[name].configure()["port"] == port


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
    servers._warn_if_open(host, Settings(api_key=key))
    assert ("without a key" in caplog.text) is warns
    assert "secret" not in caplog.text
