"""`xinference-supervisor` and `xinference-worker`: what they check before anything starts, and
what their processes are told."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from xinfer.core.security import new_token
from xinfer.deploy import command, supervisor, worker
from xinfer.deploy.processes import Internal, joining_worker, supervisor_and_apis
from xinfer.settings import Settings


def run(module: str, home: Path, *arguments: str, **more: str) -> tuple[int, str]:
    """A command that gives up: its status and what it says."""
    ended = subprocess.run(
        [sys.executable, "-m", f"xinfer.deploy.{module}", *arguments],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
        env={**os.environ, "XINFERENCE_HOME": str(home), **more},
    )
    return ended.returncode, ended.stderr


def test_a_worker_without_the_token_exits_with_how_to_get_it(tmp_path: Path) -> None:
    status, said = run("worker", tmp_path, "-e", "http://127.0.0.1:1")
    assert status == 1
    assert said.startswith("xinference-worker: A worker needs the cluster's token")
    assert str(tmp_path / "cluster-token") in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("endpoint", ["10.0.0.1:9997", "ftp://10.0.0.1", "http://"])
def test_an_endpoint_that_is_none_is_named(tmp_path: Path, endpoint: str) -> None:
    for arguments, variables in (
        (("-e", endpoint), {}),
        ((), {"XINFERENCE_ENDPOINT": endpoint}),
    ):
        status, said = run("worker", tmp_path, *arguments, **variables)
        assert status == 1
        assert f"{endpoint!r} is no address of a server" in said


@pytest.mark.parametrize(
    ("module", "option"), [("supervisor", "--supervisor-port"), ("worker", "--worker-port")]
)
def test_a_port_in_use_is_named_with_the_option_that_sets_it(
    tmp_path: Path, module: str, option: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        token = new_token().hex()
        status, said = run(
            module, tmp_path, "-H", "127.0.0.1", option, port, XINFERENCE_CLUSTER_TOKEN=token
        )
    assert status == 1
    assert f"Port {port} on 127.0.0.1 is in use" in said
    assert f"choose another one with {option}." in said


def test_half_a_certificate_ends_it(tmp_path: Path) -> None:
    status, said = run("supervisor", tmp_path, "--ssl-cluster-cert", "/c.pem")
    assert (status, "--ssl-cluster-key" in said) == (1, True)


@pytest.mark.parametrize("label", ["rack", "=3"])
def test_a_label_is_a_pair(label: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        worker.make_parser().parse_args(["--label", label])
    assert "expected is KEY=VALUE" in capsys.readouterr().err


def test_their_processes_import_nothing_but_the_standard_library() -> None:
    code = (
        "import sys, xinfer.deploy.supervisor, xinfer.deploy.worker\n"
        "known = sys.stdlib_module_names | {'xinfer', '__main__'}\n"
        "print({name.partition('.')[0] for name in sys.modules} - known)"
    )
    # -S: an environment's own start-up files do not count.
    found = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert found.stdout.strip() == "set()"


def test_by_default_they_listen_on_all_addresses() -> None:
    assert supervisor.make_parser().parse_args([]).host == "0.0.0.0"
    assert worker.make_parser().parse_args([]).host == "0.0.0.0"


def test_a_joining_worker_is_told_the_endpoint_and_keeps_its_port() -> None:
    internal = Internal(host="10.0.0.2", token=new_token(), exposed=True)
    made = joining_worker(internal, endpoint="http://10.0.0.1:9997", labels={"rack": "3"})
    told = made.configure()
    assert told == {
        "cluster_token": internal.token.hex(),
        "endpoint": "http://10.0.0.1:9997",
        "exposed": True,
        "host": "10.0.0.2",
        "labels": {"rack": "3"},
        "port": 0,
    }
    made.facts = {"address": "10.0.0.2:40001"}
    assert made.configure()["port"] == 40001


def test_a_head_alone_leaves_workers_running_and_says_where_its_supervisor_is(
    tmp_path: Path,
) -> None:
    internal = Internal(host="0.0.0.0", token=new_token(), exposed=True)
    head, api = supervisor_and_apis(
        internal, listener=5, apis=1, run_dir=str(tmp_path), url="http://127.0.0.1:9997"
    )
    told = head.configure()
    assert (told["host"], told["exposed"], told["owns_workers"]) == ("0.0.0.0", True, False)
    head.facts = {"address": "127.0.0.1:40000"}
    assert api.configure()["supervisor"] == "0.0.0.0:40000"


def test_a_port_that_is_asked_for_is_taken_each_time(tmp_path: Path) -> None:
    internal = Internal(host="10.0.0.1", token=new_token(), port=5000, exposed=True)
    head, _ = supervisor_and_apis(
        internal, listener=5, apis=1, run_dir=str(tmp_path), url="http://10.0.0.1:9997"
    )
    assert head.configure()["port"] == 5000


@pytest.mark.parametrize(
    ("host", "cert", "warns"),
    [("127.0.0.1", "", False), ("0.0.0.0", "", True), ("10.0.0.1", "/c.pem", False)],
)
def test_traffic_that_others_can_read_is_warned_of(
    host: str, cert: str, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    command.warn_if_not_encrypted(host, Settings(cluster_cert=cert))
    assert ("NOT ENCRYPTED" in caplog.text) is warns
