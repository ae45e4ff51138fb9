"""A person who follows a page by the letter: its commands and programs, in the page's order."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from tests.support.installed import MISSING
from tests.support.markdown import ROOT, Block
from tests.support.pages import STARTS_A_SERVER
from tests.support.program import START_WITHIN, STOP_WITHIN, Program
from tests.support.server import Server
from tests.support.waiting import eventually

_MODULES = {
    "xinference": "xinfer.deploy.cli",
    "xinference-local": "xinfer.deploy.local",
    "xinference-supervisor": "xinfer.deploy.supervisor",
    "xinference-worker": "xinfer.deploy.worker",
    "pip": "tests.support.installed",
}
_SERVES = {
    "xinference-worker": "has joined the cluster",
    "xinference-supervisor": "Workers join with",
    "xinference-local": "The page is at",
    "make": "The page is at",
}
"""What a command that goes on logs once it serves."""


class Reader:
    """Stands in a directory with the files that pages name, beside a server that runs already.

    - The server is at the address that pages give, http://127.0.0.1:9997; further numbers from 9900
      to 9999 are ports that are free.
    - What a page starts goes on until the page's end; a second xinference-local takes the place of
      the first, as in the reader's terminal. TEXT of its block is then in its log.
    - A block that begins with `# on 10.0.0.N` is for that machine: a loopback address with a home.
    - A file of YAML that begins with its name in a comment is written.

    Args:
        environment: of the hubs that the server has.
        free_ports: taken one by one for the ports of what pages start.
    """

    def __init__(
        self, directory: Path, server: Server, environment: Mapping[str, str], free_ports: list[int]
    ) -> None:
        self.directory = directory
        self._server = server
        self._free_ports = free_ports
        self._ports: dict[str, int] = {}
        self._running: list[tuple[str, Program]] = []
        self._environment = {
            **os.environ,
            **environment,
            "HOME": str(directory),
            "PATH": f"{directory / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "XINFERENCE_ENDPOINT": server.url,
            "XINFERENCE_HOME": str(server.home),
        }
        for name, module in _MODULES.items():
            self._command(name, f'exec "{sys.executable}" -m {module} "$@"')
        # What `make` installs is there: this interpreter's environment.
        prefix = Path(sys.prefix)
        self._command(
            "make",
            f'exec {shutil.which("make")} --no-print-directory -C "{ROOT}" VENV="{prefix}" '
            f'-o "{prefix}/base.stamp" "$@"',
        )
        # From MACHINE:PATH below that machine's home, each to what stands last.
        copy = f'cp "{directory}/${{1%%:*}}/${{1#*:}}" "$last"; shift'
        self._command("scp", f"for last; do :; done\nwhile [ $# -gt 1 ]; do {copy}; done")

    def _command(self, name: str, script: str) -> None:
        path = self.directory / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def read(self, block: Block) -> None:
        """Write a file that is shown; other blocks are not for doing something."""
        named = re.match(r"# ([\w.-]+\.ya?ml)\n", block.code)
        if block.language == "yaml" and named:
            (self.directory / named[1]).write_text(block.code)

    def follow(self, block: Block) -> None:
        """Do what a block says.

        Raises:
            AssertionError: it fails, or does not print what the page says.
        """
        code, expected = self._here(block.code), self._here(block.expected)
        home, environment = self._at(block)
        done_before = 0
        said = ""
        for server in STARTS_A_SERVER.finditer(code):
            said += self._run(block, code[done_before : server.start()], home, environment)
            done_before = server.end()
            self._start(server[0].removesuffix(" &"), home, environment)
        said += self._run(block, code[done_before:], home, environment)
        if "xinference stop-cluster" in code:
            for serves, program in self._running:
                if serves != _SERVES["xinference-local"]:
                    assert program.process.wait(STOP_WITHIN) == 0, program.log
        if done_before and not code[done_before:].strip():
            self._running[-1][1].until_logged(expected, 2 * START_WITHIN)
        else:
            assert expected in said, f"{code}\n{said}"

    def _here(self, text: str) -> str:
        """What the page says, with the addresses, ports and paths of this test."""
        text = text.replace("http://127.0.0.1:9997", self._server.url)
        text = text.replace("10.0.0.", "127.0.0.").replace("0.0.0.0", "127.0.0.1")
        text = re.sub(r"\b99\d\d\b", lambda found: str(self._port(found[0])), text)
        return re.sub(r"(?<![\w./:])/models/", f"{self.directory}/models/", text)

    def _port(self, named: str) -> int:
        if named not in self._ports:
            self._ports[named] = self._free_ports.pop()
        return self._ports[named]

    def _at(self, block: Block) -> tuple[Path, dict[str, str]]:
        machine = re.match(r"# on (\S+)\n", self._here(block.code))
        if not machine:
            return self.directory, self._environment
        home = self.directory / machine[1]
        home.mkdir(exist_ok=True)
        environment = {**self._environment, "HOME": str(home)}
        del environment["XINFERENCE_HOME"]
        return home, environment

    def _run(self, block: Block, code: str, home: Path, environment: dict[str, str]) -> str:
        if not code.strip():
            return ""
        interpreter = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
        done = subprocess.run(
            [*interpreter[block.language], code],
            cwd=home,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode == MISSING and done.stdout.startswith("not installed: "):
            pytest.fail(f"{done.stdout.strip()}: `make test` installs it")
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _start(self, code: str, home: Path, environment: dict[str, str]) -> None:
        name = next(name for name in _SERVES if re.search(rf"(^|\s){name}\b", code))
        alone = _SERVES[name] == _SERVES["xinference-local"]
        if alone:
            self._interrupt(_SERVES[name])
        log = home / f"{len(self._running)}.log"
        if "XINFERENCE_HOME" in environment:  # not the server's, which has it for itself
            own = home / ("alone" if alone else "cluster")
            environment = {**environment, "XINFERENCE_HOME": str(own)}
        with log.open("wb") as file:
            process = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", code],
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        program = Program(process, log)
        self._running.append((_SERVES[name], program))
        program.until_logged(_SERVES[name])

    def _interrupt(self, serves: str) -> None:
        """Press Ctrl-C where such servers run, and see them leave in order."""
        for said, program in self._running:
            if said == serves and program.process.poll() is None:
                os.killpg(program.process.pid, signal.SIGINT)
                status = program.process.wait(STOP_WITHIN)
                # make waits for what it ran, and then ends by the signal itself.
                assert status in (0, -signal.SIGINT), f"{status}\n{program.log}"

    def end(self) -> None:
        """End what still runs, and see it leave in order."""
        for serves in dict.fromkeys(_SERVES.values()):
            self._interrupt(serves)

    def close(self, before: set[str]) -> set[str]:
        """Kill what runs, and end the models that were not there before; their uids."""
        for _, program in self._running:
            if program.process.poll() is None:
                for each in psutil.Process(program.process.pid).children(recursive=True):
                    each.kill()
                program.process.kill()
                program.process.wait()
        http = self._server.http
        left = uids(self._server) - before
        for uid in left:
            http.delete(f"/v1/models/{uid}")
        for declared in http.get("/v1/autostart/models").json()["models"]:
            http.delete(f"/v1/autostart/models/{declared['launch']['model_uid']}")
        for model in http.get("/v1/model_registrations/LLM").json():
            if not model["is_builtin"]:
                http.delete(f"/v1/model_registrations/LLM/{model['model_name']}")
        eventually(lambda: uids(self._server) <= before, STOP_WITHIN, f"the end of {left}")
        return left


def uids(server: Server) -> set[str]:
    """Of everything that is launched."""
    return {each["model_uid"] for each in server.http.get("/v1/models/instances").json()}
