"""How a cluster starts, is restarted and is stopped, in any order."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

from tests.support.certificates import make_certificate
from tests.support.cluster import QUICK, Cluster, Worker, running_cluster
from tests.support.program import running
from tests.support.waiting import eventually


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_a_stopped_supervisor_leaves_models_running_and_finds_them_when_it_is_back(
    tmp_path: Path,
) -> None:
    port = free_port()
    token = {"XINFERENCE_CLUSTER_TOKEN": "t" * 32}
    flags = ["-e", f"http://127.0.0.1:{port}", "-H", "127.0.0.2"]
    with running("worker", *flags, home=tmp_path, **QUICK, **token) as program:
        worker = Worker(program.process, program._log_path)
        # It is there before its supervisor.
        worker.until_logged("Trying again until it answers")
        with running_cluster(home=tmp_path, port=port, **token) as cluster:
            assert worker.address in cluster.workers()
            uid = cluster.server.launch(model_uid="stays", replica=2)
            before = cluster.ready_on(uid)
            pids = sorted(worker.replica_pids)
        assert cluster.server.process.returncode == 0
        assert sorted(worker.replica_pids) == pids
        with running_cluster(home=tmp_path, port=port, **token) as cluster:
            # The supervisor has another port now, which the worker asks for.
            eventually(lambda: cluster.ready_on(uid) == before, 15, "the same replicas")
            cluster.chat(uid, "still here")
            assert sorted(worker.replica_pids) == pids
            assert {replica["restarts"] for replica in cluster.server.replicas(uid)} == {0}


def test_a_changed_file_changes_what_it_says_and_nothing_else_that_runs(tmp_path: Path) -> None:
    port = free_port()
    token = {"XINFERENCE_CLUSTER_TOKEN": "t" * 32}
    file = tmp_path / "models.yaml"
    flags = ["-e", f"http://127.0.0.1:{port}", "-H", "127.0.0.2"]

    def declare(*entries: str) -> None:
        lines = [f"  - {{model_name: echo, {entry}}}" for entry in entries]
        file.write_text("\n".join(["models:", *lines]))

    def started(cluster: Cluster) -> dict[str, dict[str, int]]:
        """The pids of what serves, by model and replica."""
        found = {}
        for instance in cluster.http.get("/v1/models/instances").json():
            replicas = instance["replica_statuses"]
            ready = {
                one["replica_model_uid"]: one["pid"] for one in replicas if one["state"] == "READY"
            }
            if len(ready) == instance["replica"]:
                found[instance["model_uid"]] = ready
        return found

    declare("model_uid: same", "model_uid: more", "model_uid: gone")
    with running("worker", *flags, home=tmp_path, **QUICK, **token):
        with running_cluster("--config", str(file), home=tmp_path, port=port, **token) as cluster:
            # Declared before any worker was there.
            eventually(lambda: started(cluster).keys() == {"same", "more", "gone"}, 20)
            cluster.server.launch(model_uid="mine")
            before = started(cluster)
        declare("model_uid: same", "model_uid: more, replica: 2")
        with running_cluster("--config", str(file), home=tmp_path, port=port, **token) as cluster:
            eventually(lambda: started(cluster).keys() == {"same", "more", "mine"}, 20)
            after = started(cluster)
            assert (after["same"], after["mine"]) == (before["same"], before["mine"])
            assert len(after["more"]) == 2
            assert not after["more"].items() & before["more"].items()


def stop_cluster(cluster: Cluster) -> None:
    command = [sys.executable, "-m", "xinfer.deploy.cli", "stop-cluster", "--check"]
    subprocess.run([*command, "-e", cluster.server.url], check=True, timeout=30)


def test_stop_cluster_ends_everything_on_all_machines() -> None:
    with running_cluster() as cluster:
        workers = [cluster.add_worker(host) for host in ("127.0.0.1", "127.0.0.2")]
        uid = cluster.server.launch(model_uid="ends", replica=2)
        cluster.until_ready_on(uid, *workers)
        stop_cluster(cluster)
        for program in (*workers, cluster.server):
            assert program.process.wait(20) == 0
            assert "Traceback" not in program.log


def test_a_cluster_with_a_certificate_serves_and_lets_nobody_in_without(tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    tls = ["--ssl-cluster-cert", made.cert, "--ssl-cluster-key", made.key]
    with running_cluster(*tls, host="0.0.0.0") as cluster:
        worker = cluster.add_worker("0.0.0.0", *tls)
        uid = cluster.server.launch(model_uid="hidden")
        cluster.until_ready_on(uid, worker)
        (replica,) = cluster.server.replicas(uid)
        assert replica["model_address"].startswith("tcp:127.0.0.1:")
        cluster.chat(uid, "for your eyes only")
        stranger = cluster.add_worker("127.0.0.2", joins=False)
        stranger.until_logged("with the same cluster certificate?")
        assert list(cluster.workers()) == [worker.address]
        for program in (cluster.server, worker):
            assert "NOT ENCRYPTED" not in program.log


def test_traffic_that_is_not_encrypted_is_warned_of() -> None:
    with running_cluster(host="0.0.0.0") as cluster:
        assert "TRAFFIC BETWEEN NODES IS NOT ENCRYPTED" in cluster.server.log


def test_the_log_says_how_a_worker_joins_and_a_wrong_token_ends_it_with_the_reason(
    tmp_path: Path,
) -> None:
    with running_cluster() as cluster:
        told = cluster.server.until_logged("The cluster's token is in ")
        path = re.search(r"is in (\S+);", told)
        assert path is not None
        assert Path(path[1]) == cluster.server.home / "cluster-token"
        assert f"xinference-worker -e {cluster.server.url}" in cluster.server.log
        flags = ["-e", cluster.server.url, "-H", "127.0.0.1"]
        wrong = {"XINFERENCE_CLUSTER_TOKEN": "w" * 32}
        with running("worker", *flags, home=tmp_path, **wrong) as stranger:
            assert stranger.process.wait(30) == 1
            assert "our token is not its token" in stranger.log
            assert "Traceback" not in stranger.log
        assert cluster.workers() == {}


def test_no_child_has_the_token_in_its_environment_or_arguments() -> None:
    token = "n0body-may-see-this-in-a-list-of-processes"
    with running_cluster(XINFERENCE_CLUSTER_TOKEN=token) as cluster:
        worker = cluster.add_worker()
        uid = cluster.server.launch(model_uid="discreet")
        cluster.until_ready_on(uid, worker)
        assert not (cluster.server.home / "cluster-token").exists()
        for program in (cluster.server, worker):
            launcher, *children = program.tree()
            assert len(children) >= 2
            for child in children:
                assert token not in str(child.environ())
                assert token not in str(child.cmdline())
            assert token not in str(launcher.cmdline())
            assert token not in program.log
