"""docs/tour.md and docs/integrations.md, followed by the letter, in the order they have."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.support.markdown import ROOT, Block, Page
from tests.support.server import Server
from tests.support.waiting import eventually

TOUR = Page.read("docs/tour.md")
INTEGRATIONS = Page.read("docs/integrations.md")
SERVES = {
    "xinference-supervisor": ("supervisor", "Workers join with"),
    "xinference-worker": ("worker", "has joined the cluster"),
}
"""What a page leaves running behind `&`: its module, and what it logs when it serves."""

UIDS = ("guide", "near", "order", "ear", "hand", "my-chat", "my-embedding", "my-rerank")
"""Every model that a page launches on the server that is there."""


class Reader:
    """Stands where the repository's recordings are, with the commands at hand and a home."""

    def __init__(self, directory: Path, server: Server) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            cluster = probe.getsockname()[1]
        self._addresses = {
            "http://127.0.0.1:9997": server.url,
            "9987": str(cluster),
        }
        self._directory = directory
        self._server = server
        self._left_running: list[tuple[subprocess.Popen[bytes], Path]] = []
        (directory / "training").symlink_to(ROOT / "training")
        modules = {name: f"xinfer.deploy.{module}" for name, (module, _) in SERVES.items()}
        for name, module in {"xinference": "xinfer.deploy.cli", **modules}.items():
            command = directory / "bin" / name
            command.parent.mkdir(exist_ok=True)
            command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m {module} "$@"\n')
            command.chmod(0o755)
        self._environment = {
            **os.environ,
            "HOME": str(directory),
            "PATH": f"{directory / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "XINFERENCE_ENDPOINT": server.url,
        }
        self._environment.pop("XINFERENCE_HOME", None)

    def follow(self, block: Block) -> None:
        code = block.code
        for there, here in self._addresses.items():
            code = code.replace(there, here)
        if code.endswith(" &\n"):
            self._start(code.removesuffix(" &\n"))
            return
        interpreter = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
        done = subprocess.run(
            [*interpreter[block.language], code],
            cwd=self._directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        said = f"{code}\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, said
        assert block.expected in done.stdout, said

    def _start(self, code: str) -> None:
        serves = next(said for name, (_, said) in SERVES.items() if name in code)
        log = self._directory / f"{len(self._left_running)}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", code],
                cwd=self._directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        self._left_running.append((process, log))
        eventually(
            lambda: serves in log.read_text() or process.poll() is not None, 60, f"{serves!r}"
        )
        assert process.poll() is None, log.read_text()

    def all_ended(self) -> None:
        """Wait until what was left running has left in order."""
        for process, log in self._left_running:
            assert process.wait(30) == 0, log.read_text()

    def close(self) -> None:
        for process, _ in self._left_running:
            if process.poll() is None:
                for each in psutil.Process(process.pid).children(recursive=True):
                    each.kill()
                process.kill()
                process.wait()
        for uid in UIDS:  # which the pages have ended, if they came so far
            self._server.http.delete(f"/v1/models/{uid}")


@pytest.fixture
def reader(tmp_path: Path, server: Server) -> Iterator[Reader]:
    with ExitStack() as stack:
        made = Reader(tmp_path, server)
        stack.callback(made.close)
        yield made


def test_every_block_of_the_tour_does_what_it_says(reader: Reader, server: Server) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("av")
    pytest.importorskip("diffusers")
    follow_all(reader, TOUR)
    reader.all_ended()
    nothing_is_left(server)


def test_every_block_about_integrations_does_what_it_says(reader: Reader, server: Server) -> None:
    follow_all(reader, INTEGRATIONS)
    nothing_is_left(server)


def follow_all(reader: Reader, page: Page) -> None:
    for block in page.blocks:
        if block.tested:
            reader.follow(block)


def nothing_is_left(server: Server) -> None:
    for uid in UIDS:
        eventually(lambda uid=uid: not server.instances(uid), 30, f"the end of {uid}")


@pytest.mark.parametrize(
    ("page", "begins"), [(TOUR, "pip install"), (INTEGRATIONS, "export ANTHROPIC_BASE_URL")]
)
def test_one_block_alone_is_not_followed(page: Page, begins: str) -> None:
    (block,) = [block for block in page.blocks if not block.tested]
    assert block.code.startswith(begins)
