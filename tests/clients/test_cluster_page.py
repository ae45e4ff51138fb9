"""docs/cluster.md, followed by the letter on machines that are loopback addresses."""

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

from tests.support.markdown import Block, Page
from tests.support.waiting import eventually

BLOCKS = [block for block in Page.read("docs/cluster.md").blocks if block.tested]
SERVERS = {
    "xinference-supervisor": ("supervisor", "Workers join with"),
    "xinference-worker": ("worker", "has joined the cluster"),
}
"""Commands that run until they are stopped: their module, and what they log when they serve."""


class Machines:
    """Each machine is a home directory; 10.0.0.1 is 127.0.0.1, and so on."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._servers: list[tuple[subprocess.Popen[bytes], Path]] = []
        self._ports = {"9997": _free_port(), "9999": _free_port()}
        commands = {name: f"xinfer.deploy.{module}" for name, (module, _) in SERVERS.items()}
        self._command("xinference", f'exec "{sys.executable}" -m xinfer.deploy.cli "$@"')
        for name, module in commands.items():
            self._command(name, f'exec "{sys.executable}" -m {module} "$@"')
        # From `MACHINE:PATH` below that machine's home.
        self._command("scp", f'cp "{directory}/${{1%%:*}}/${{1#*:}}" "$2"')

    def _command(self, name: str, script: str) -> None:
        path = self._directory / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def here(self, text: str) -> str:
        """What the page says, with this machine's addresses."""
        for port, free in self._ports.items():
            text = text.replace(port, str(free))
        return text.replace("10.0.0.", "127.0.0.")

    def run(self, block: Block) -> str:
        """What the block prints; one that starts a server is left running."""
        machine = block.code.partition("# on ")[2].split()[0]
        home = self._directory / self.here(machine)
        home.mkdir(exist_ok=True)
        code = self.here(block.code)
        environment = {
            **os.environ,
            "HOME": str(home),
            "PATH": f"{self._directory / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        environment.pop("XINFERENCE_HOME", None)
        shell = ["bash", "-euo", "pipefail", "-c", code]
        serves = next((said for name, (_, said) in SERVERS.items() if name in code), None)
        if serves is not None:
            self._serve(shell, home, environment, serves)
            return ""
        done = subprocess.run(
            shell, cwd=home, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{block.code}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _serve(
        self, shell: list[str], home: Path, environment: dict[str, str], serves: str
    ) -> None:
        log = home / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                shell, cwd=home, env=environment, stdout=file, stderr=subprocess.STDOUT
            )
        self._servers.append((process, log))
        eventually(
            lambda: serves in log.read_text() or process.poll() is not None, 60, f"{serves!r}"
        )
        assert process.poll() is None, log.read_text()

    def all_stopped(self) -> None:
        """Wait until every server has left in order."""
        for process, log in self._servers:
            assert process.wait(30) == 0, log.read_text()

    def close(self) -> None:
        for process, _ in self._servers:
            if process.poll() is None:
                below = psutil.Process(process.pid).children(recursive=True)
                for each in [*below, process]:
                    each.kill()
                process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with ExitStack() as stack:
        made = Machines(tmp_path)
        stack.callback(made.close)
        yield made


def test_every_block_does_what_the_page_says(machines: Machines) -> None:
    assert len(BLOCKS) >= 8
    for block in BLOCKS:
        said = machines.run(block)
        expected = machines.here(block.expected)
        assert expected in said, f"{block.code}\n{said}"
    machines.all_stopped()
