"""docs/models.md, followed by the letter on a real server, with a hub on loopback."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_hub import FakeHub, fake_hub
from tests.support.gguf_models import script_model
from tests.support.markdown import Block, Page
from tests.support.server import Server, running_server

BLOCKS = [block for block in Page.read("docs/models.md").blocks if block.tested]
REPO = "Qwen/Qwen3-0.6B-GGUF"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader stands: `xinference` can be called, and there is a small.gguf."""
    command = tmp_path / "bin" / "xinference"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m xinfer.deploy.cli "$@"\n')
    command.chmod(0o755)
    script_model(tmp_path / "small.gguf", [b"Hello", b" ", b"there"])
    return tmp_path


@pytest.fixture
def hub(folder: Path) -> Iterator[FakeHub]:
    weights = (folder / "small.gguf").read_bytes()
    with fake_hub() as hub:
        hub.add(REPO, {f"Qwen3-0.6B-{each}.gguf": weights for each in ("Q4_K_M", "Q8_0")})
        yield hub


@pytest.fixture
def server(hub: FakeHub, folder: Path) -> Iterator[Server]:
    own = {"HF_HOME": str(folder / "hf"), "MODELSCOPE_CACHE": str(folder / "ms")}
    with running_server(**hub.environment, **own) as server:
        yield server


def run(block: Block, server: Server, folder: Path) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        env={
            **os.environ,
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "XINFERENCE_ENDPOINT": server.url,
        },
    )
    said = f"{block.code}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    assert block.expected in done.stdout, said
    return done.stdout + done.stderr


def test_every_block_does_what_the_page_says(server: Server, hub: FakeHub, folder: Path) -> None:
    for block in BLOCKS:
        before = len(hub.requests)
        said = run(block, server, folder)
        if "--model-uid again" in block.code:
            assert len(hub.requests) == before
        if "launch -n Qwen" in block.code:
            assert "Q8_0: llama-cpp-python is the first engine here" in said
    assert len(BLOCKS) >= 6
    # Of the other form, no more than its header was read.
    entries = server.http.get("/v1/cache/models").json()["list"]
    assert [entry["quantization"] for entry in entries] == ["Q8_0"]
