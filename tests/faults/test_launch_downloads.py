"""Launches whose model is still to be downloaded, on a whole server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_hub import FakeHub, fake_hub
from tests.support.server import Server, running_server
from tests.support.waiting import eventually
from xinfer.model.catalog.catalogue import find_builtin

HALF = 2 << 20


def weights() -> bytes:
    """A model that answers."""
    model = find_builtin("tiny-chat").models()[0]
    return Path(model.path).read_bytes()


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as hub:
        hub.add("owner/tiny-GGUF", {"tiny-F16.gguf": weights()})
        yield hub


def environment(endpoint: str, home: Path) -> dict[str, str]:
    return {
        "HF_ENDPOINT": endpoint,
        "MODELSCOPE_ENDPOINT": endpoint,
        "NO_PROXY": "127.0.0.1,localhost",
        "HF_HOME": str(home / "hf"),
        "MODELSCOPE_CACHE": str(home / "ms"),
    }


@contextmanager
def server_towards(endpoint: str, home: Path) -> Iterator[Server]:
    home.mkdir(exist_ok=True)
    with running_server(home=home, **environment(endpoint, home)) as server:
        yield server


def launch(server: Server, **body: Any) -> None:
    launched = server.http.post(
        "/v1/models",
        params={"wait_ready": False},
        json={"model_name": "hf:owner/tiny-GGUF", "model_uid": "tiny", "n_ctx": 512, **body},
    )
    assert launched.status_code == 200, launched.text


def progress(server: Server) -> dict[str, Any]:
    return dict(server.http.get("/v1/models/tiny/progress").json())


def state(server: Server) -> str:
    return next((str(each["state"]) for each in server.instances("tiny")), "none")


def answer(server: Server) -> str:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}
    answered = server.http.post("/v1/chat/completions", json=body)
    assert answered.status_code == 200, answered.text
    return str(answered.json()["choices"][0]["message"]["content"])


def test_a_repository_is_downloaded_shown_loaded_and_answers(hub: FakeHub, tmp_path: Path) -> None:
    hub.gate_after = HALF
    with server_towards(hub.endpoint, tmp_path / "home") as server:
        hub.gate.clear()
        launch(server, replica=2)
        eventually(lambda: state(server) == "DOWNLOADING", 30)
        shown = eventually(lambda: [f for f in progress(server)["download_files"]], 30)
        assert {each["name"] for each in shown} == {"tiny-F16.gguf"}
        assert 0 <= progress(server)["progress"] < 0.8
        refused = server.http.post(
            "/v1/chat/completions",
            json={"model": "tiny", "messages": [{"role": "user", "content": "Hi"}]},
        )
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "model_loading")
        hub.gate.set()
        eventually(lambda: state(server) == "READY", 60)
        assert answer(server)
        bodies = [each for each in hub.bodies("tiny-F16.gguf") if "/cdn/" in each.path]
        assert len(bodies) <= 3  # its header for the launch, and one download for both replicas


@pytest.mark.parametrize("how", ["cancel", "terminate"])
def test_f25_a_download_that_is_given_up_ends_and_is_continued_by_the_next(
    hub: FakeHub, tmp_path: Path, how: str
) -> None:
    hub.gate_after = HALF
    with server_towards(hub.endpoint, tmp_path / "home") as server:
        hub.gate.clear()
        launch(server)
        part = eventually(lambda: next((tmp_path / "home").rglob(".xinfer-*.part")), 30)
        eventually(lambda: part.stat().st_size >= HALF, 30)
        (pid,) = server.pids("xinfer.model.hub")
        if how == "cancel":
            server.http.post("/v1/models/tiny/cancel").raise_for_status()
            eventually(lambda: state(server) in ("none", "ERROR"), 30)
        server.http.delete("/v1/models/tiny")
        eventually(lambda: state(server) == "none", 30)
        eventually(lambda: pid not in server.pids("xinfer.model.hub"), 30)
        assert not server.pids("xinfer.core.replica")
        had = part.stat().st_size
        hub.requests.clear()
        hub.gate.set()
        launch(server)
        eventually(lambda: state(server) == "READY", 60)
        assert had in {each.start for each in hub.bodies("tiny-F16.gguf")}


def test_f21_a_server_that_is_killed_while_it_downloads_goes_on_with_it(
    hub: FakeHub, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    hub.gate_after = HALF
    with server_towards(hub.endpoint, home) as server:
        hub.gate.clear()
        launch(server)
        part = eventually(lambda: next(home.rglob(".xinfer-*.part")), 30)
        eventually(lambda: part.stat().st_size >= HALF, 30)
        server.kill()
    had = part.stat().st_size
    hub.requests.clear()
    hub.gate.set()
    with server_towards(hub.endpoint, home) as server:
        eventually(lambda: state(server) == "READY", 60)
        assert had in {each.start for each in hub.bodies("tiny-F16.gguf")}
        assert answer(server)


def test_f22_a_damaged_model_is_refused_by_name_and_mended_by_a_pull(
    hub: FakeHub, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with server_towards(hub.endpoint, home) as server:
        launch(server)
        eventually(lambda: state(server) == "READY", 60)
        server.terminate("tiny")
        (file,) = home.rglob("tiny-F16.gguf")
        file.write_bytes(bytes(1 << 16) + file.read_bytes()[1 << 16 :])  # without its header
        body = {"model_name": "hf:owner/tiny-GGUF", "model_uid": "tiny"}
        refused = server.http.post("/v1/models", json=body)
        assert refused.status_code == 500, refused.text
        assert refused.json()["error"]["code"] == "corrupt_file"
        for part in (file.name, str(file.parent), "expected ", "got "):
            assert part in refused.json()["detail"]
        name = "hf:owner/tiny-GGUF:F16"
        assert f"`xinference pull --verify {name}`" in refused.json()["detail"]
        assert not server.instances("tiny")
        mended = subprocess.run(
            [sys.executable, "-m", "xinfer.deploy.cli", "pull", "--verify", name],
            env={**os.environ, **environment(hub.endpoint, home), "XINFERENCE_HOME": str(home)},
            capture_output=True,
            text=True,
        )
        assert mended.returncode == 0, mended.stderr
        assert "tiny-F16.gguf is corrupt: expected " in mended.stderr
        launch(server)
        eventually(lambda: state(server) == "READY", 60)
        assert answer(server)


def test_f23_offline_a_launch_fails_soon_and_what_is_cached_starts(
    hub: FakeHub, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with server_towards(hub.endpoint, home) as server:
        launch(server)
        eventually(lambda: state(server) == "READY", 60)
        server.terminate("tiny")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with server_towards(nowhere, home) as server:
            began = time.monotonic()
            refused = server.http.post("/v1/models", json={"model_name": "owner/other"})
            assert time.monotonic() - began < 10
            assert refused.status_code == 503, refused.text
            assert refused.json()["error"]["code"] == "hub_unreachable"
            for hub_name in ("huggingface", "modelscope"):
                assert f"{hub_name} (owner/other): {hub_name} cannot be reached" in refused.text
            launch(server)
            eventually(lambda: state(server) == "READY", 60)
            assert answer(server)
