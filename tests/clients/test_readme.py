"""The README, followed by the letter on a real server: its commands and programs, in order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gguf_models import script_model
from tests.support.markdown import Block, Page
from tests.support.server import Server
from tests.support.waiting import eventually

BLOCKS = [block for block in Page.read("README.md").blocks if block.tested]
ADDRESS = "http://127.0.0.1:9997"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a reader stands: `xinference` can be called, and there are files of models."""
    here = tmp_path_factory.mktemp("readme")
    command = here / "bin" / "xinference"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m xinfer.deploy.cli "$@"\n')
    command.chmod(0o755)
    script_model(here / "model.gguf", [b"Hello", b" ", b"there"])
    return here


def run(block: Block, server: Server, folder: Path) -> subprocess.CompletedProcess[str]:
    interpreter = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    return subprocess.run(
        [*interpreter[block.language], block.code.replace(ADDRESS, server.url)],
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


def test_every_block_does_what_the_readme_says(server: Server, folder: Path) -> None:
    try:
        for block in BLOCKS:
            done = run(block, server, folder)
            said = f"{block.code}\n{done.stdout}\n{done.stderr}"
            assert done.returncode == 0, said
            assert block.expected in done.stdout, said
        # What the README starts, it ends; but for the model that the reader goes on with.
        assert not server.instances("my-model")
        assert not server.instances("parrot")
    finally:
        for uid in ("tiny-chat", "my-model", "parrot", "my-chat", "tiny-embed", "tiny-rerank"):
            if server.instances(uid):
                server.terminate(uid)


def test_every_block_of_the_page_about_retrieval_does_what_it_says(
    server: Server, folder: Path
) -> None:
    blocks = [block for block in Page.read("docs/retrieval.md").blocks if block.tested]
    assert len(blocks) == len(Page.read("docs/retrieval.md").blocks)
    try:
        for block in blocks:
            done = run(block, server, folder)
            said = f"{block.code}\n{done.stdout}\n{done.stderr}"
            assert done.returncode == 0, said
            assert block.expected in done.stdout, said
    finally:
        for uid in ("my-embedding", "my-rerank"):
            server.http.delete(f"/v1/models/{uid}")  # which the page has done, if it came so far
            eventually(lambda uid=uid: not server.instances(uid), 30, f"the end of {uid}")


@pytest.mark.parametrize("name", ["chat", "apis"])
def test_every_block_of_a_page_about_chat_does_what_it_says(
    name: str, server: Server, folder: Path
) -> None:
    blocks = Page.read(f"docs/{name}.md").blocks
    assert all(block.tested for block in blocks)
    try:
        for block in blocks:
            done = run(block, server, folder)
            said = f"{block.code}\n{done.stdout}\n{done.stderr}"
            assert done.returncode == 0, said
            assert block.expected in done.stdout, said
    finally:
        server.http.delete("/v1/models/my-chat")  # which the page has done, if it came so far
        eventually(lambda: not server.instances("my-chat"), 30, "the end of my-chat")


def test_most_of_the_readme_is_run() -> None:
    assert len(BLOCKS) >= 12
    assert {block.language for block in BLOCKS} == {"bash", "python"}


def test_every_block_of_the_page_about_structured_output_does_what_it_says(
    server: Server, folder: Path
) -> None:
    page = Page.read("docs/structured-output.md")
    blocks = [block for block in page.blocks if block.tested]
    assert len(blocks) == len(page.blocks)
    try:
        for block in blocks:
            done = run(block, server, folder)
            said = f"{block.code}\n{done.stdout}\n{done.stderr}"
            assert done.returncode == 0, said
            assert block.expected in done.stdout, said
    finally:
        server.http.delete("/v1/models/my-structured")
