"""What was launched is there again after any end of the server, and its store may be damaged,
locked or on a full disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_models import script_model
from tests.support.server import Server, running_server
from tests.support.waiting import eventually

SUPERVISOR = "xinfer.core.supervisor"


def _database(home: Path) -> Path:
    return home / "state" / "xinfer.db"


def _answer(server: Server, uid: str) -> str:
    body = {"model": uid, "messages": [{"role": "user", "content": "hello"}]}
    answer = server.http.post("/v1/chat/completions", json=body)
    return str(answer.json()["choices"][0]["message"]["content"])


def _status(server: Server, uid: str) -> str:
    return str(next(iter(server.instances(uid)), {"status": "none"})["status"])


def _becomes(server: Server, uid: str, status: str) -> None:
    eventually(lambda: _status(server, uid) == status, 30, f"{uid} to be {status}")


def _refused(server: Server, code: str, uid: str = "refused") -> str:
    """A launch that is refused with this code; the message."""
    answer = server.http.post("/v1/models", json={"model_name": "echo", "model_uid": uid})
    assert answer.status_code == 503, answer.text
    assert answer.json()["error"]["code"] == code
    assert "retry-after" in answer.headers
    return str(answer.json()["error"]["message"])


def _kill(server: Server) -> None:
    server.kill()


def _interrupt(server: Server) -> None:
    assert server.stop(signal.SIGINT) == 0


@pytest.mark.parametrize("end", [_kill, _interrupt])
def test_a_server_that_ended_brings_its_models_back(
    tmp_path: Path, end: Callable[[Server], None]
) -> None:
    lost = script_model(tmp_path / "lost.gguf", [b"Hello"])
    home = tmp_path / "home"
    home.mkdir()
    start = partial(
        running_server,
        "--model",
        "echo",
        home=home,
        XINFERENCE_RESTART_BACKOFF="0.05",
        XINFERENCE_RESTART_LIMIT="2",
    )
    with start() as server:
        _becomes(server, "echo", "READY")
        server.launch(model_uid="two", replica=2, token_interval=0.001, max_queue=7)
        server.launch(model_uid="ended")
        server.launch(str(lost), model_uid="lost")
        failing = {"model_name": "echo", "model_uid": "failing", "fail_on_load": "no luck"}
        server.http.post("/v1/models", json=failing, params={"wait_ready": False})
        _becomes(server, "failing", "ERROR")
        server.terminate("ended")
        end(server)
    lost.unlink()
    with start() as server:
        for uid in ("echo", "two"):
            _becomes(server, uid, "READY")
            assert _answer(server, uid) == "hello"
        eventually(lambda: len(_ready(server, "two")) == 2, 20, "both replicas")
        # Neither a second echo, nor what was terminated; what cannot run says why.
        _becomes(server, "failing", "ERROR")
        _becomes(server, "lost", "ERROR")
        all_uids = {one["model_uid"] for one in server.http.get("/v1/models/instances").json()}
        assert all_uids == {"echo", "two", "failing", "lost"}
        refused = server.http.get("/v1/models/lost")
        assert str(lost) in refused.json()["detail"]
        assert "Launched before and still wanted: echo, failing, lost, two." in server.log
        eventually(lambda: "Model uid: echo" in server.log, 20, "the end of --model")
        server.terminate("lost")


def _ready(server: Server, uid: str) -> list[dict[str, Any]]:
    return [one for one in server.replicas(uid) if one["state"] == "READY"]


def test_a_second_server_on_a_home_gives_up_at_once_and_names_the_first(server: Server) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "xinfer.deploy.local", "-p", "0"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "XINFERENCE_HOME": str(server.home)},
    )
    assert done.returncode == 1
    (holder,) = server.pids(SUPERVISOR)
    assert f"{server.home} is in use" in done.stderr
    assert f"process {holder}, running since" in done.stderr
    assert "starting it again" not in done.stderr
    assert "Traceback" not in done.stderr


def test_f29_a_damaged_store_is_set_aside_and_its_backup_brings_the_models_back(
    tmp_path: Path,
) -> None:
    with running_server(home=tmp_path) as server:
        server.launch(model_uid="f29")
        assert server.stop() == 0
    _database(tmp_path).write_bytes(b"\0garbage" * 1000)
    with running_server(home=tmp_path) as server:
        _becomes(server, "f29", "READY")
        assert "is damaged" in server.log
        server.launch(model_uid="f29-more")
    (aside,) = _database(tmp_path).parent.glob("xinfer.db.damaged-*")
    assert aside.read_bytes() == b"\0garbage" * 1000


def test_f29_a_damaged_store_without_a_backup_leaves_what_runs_and_is_never_written_over(
    tmp_path: Path,
) -> None:
    with running_server(home=tmp_path) as server:
        server.launch(model_uid="f29-runs")
        pid = server.replicas("f29-runs")[0]["pid"]
        shutil.rmtree(tmp_path / "state" / "backups")
        _database(tmp_path).write_bytes(b"\0garbage" * 1000)
        (supervisor,) = server.pids(SUPERVISOR)
        os.kill(supervisor, signal.SIGKILL)
        assert _answer(server, "f29-runs") == "hello"
        eventually(lambda: server.pids(SUPERVISOR) not in ([], [supervisor]), 20, "another")
        eventually(lambda: server.http.get("/readyz").is_success, 20, "the other's word")
        message = _refused(server, "store_damaged")
        assert f"mv {_database(tmp_path)} " in message
        (replica,) = server.replicas("f29-runs")
        assert (replica["state"], replica["pid"]) == ("READY", pid)
        server.terminate("f29-runs")
        assert server.stop() == 0
    assert _database(tmp_path).read_bytes() == b"\0garbage" * 1000


def test_f29_while_the_store_is_locked_changes_are_refused_and_models_run(
    tmp_path: Path,
) -> None:
    with running_server(home=tmp_path) as server:
        server.launch(model_uid="f29-locked")
        other = sqlite3.connect(_database(tmp_path), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        message = _refused(server, "store_unavailable", "f29-later")
        assert str(_database(tmp_path)) in message
        assert "locked" in message
        assert server.http.delete("/v1/models/f29-locked").status_code == 503
        assert _answer(server, "f29-locked") == "hello"
        other.execute("ROLLBACK")
        other.close()
        server.launch(model_uid="f29-later")
        server.terminate("f29-locked")


def test_f29_of_a_store_that_cannot_be_read_at_the_start_the_backup_is_served(
    tmp_path: Path,
) -> None:
    with running_server(home=tmp_path) as server:
        server.launch(model_uid="f29-kept")
        assert server.stop() == 0
    other = sqlite3.connect(_database(tmp_path), isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with running_server(home=tmp_path) as server:
        _becomes(server, "f29-kept", "READY")
        assert _answer(server, "f29-kept") == "hello"
        message = _refused(server, "store_unavailable")
        assert str(_database(tmp_path)) in message
        assert "locked" in message
        assert server.http.delete("/v1/models/f29-kept").status_code == 503
        assert "is served" in server.log
    other.execute("ROLLBACK")
    other.close()
    with running_server(home=tmp_path) as server:
        _becomes(server, "f29-kept", "READY")
        server.terminate("f29-kept")


def test_f29_a_full_or_read_only_disk_is_said_with_path_and_reason(tmp_path: Path) -> None:
    """In a mount namespace of its own, on half a megabyte."""
    done = subprocess.run(
        ["unshare", "-Urm", sys.executable, "-m", "tests.faults.store_on_small_disk", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert f"{_database(tmp_path)}: database or disk is full" in found["full"]
    kept, kept_on_full = found["kept"]
    assert kept == kept_on_full >= 1
    assert found["first and after"] == ["after", "first"]
    assert found["same on a read-only disk"]
    assert f"{tmp_path / 'state'} cannot be written" in found["refused on a read-only disk"]
