"""The processes of a server: their order, and what each of them is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinfer.core.security import new_token
from xinfer.deploy.launcher import Child
from xinfer.deploy.processes import Internal, own_worker, supervisor_and_apis


def children(run_dir: Path, apis: int = 1) -> dict[str, Child]:
    """The processes of a server on one machine, by name."""
    internal = Internal(host="127.0.0.1", token=new_token())
    made = supervisor_and_apis(
        internal, listener=5, apis=apis, run_dir=str(run_dir), url="http://127.0.0.1:9997"
    )
    made.append(
        own_worker(
            internal,
            supervisor=made[0],
            run_dir=str(run_dir),
            after=tuple(child.name for child in made),
        )
    )
    return {child.name: child for child in made}


def test_processes_come_after_those_they_need_and_api_processes_leave_first(
    tmp_path: Path,
) -> None:
    made = children(tmp_path, apis=2)
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
    made = children(tmp_path, apis=3)
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
