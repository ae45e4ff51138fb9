"""Making a virtual environment, and installing packages into it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from xinfer import system
from xinfer.core.worker.guard import Guard
from xinfer.errors import DeadlineExceeded, EngineFailed, InvalidRequest
from xinfer.settings import Settings

_LAST_LINES = 20
_CHUNK = 1 << 16  # bytes
_HOPELESS = (
    "No matching distribution",
    "ResolutionImpossible",
    "Invalid requirement",
    "conflict",
    "No solution found",
)
"""What pip or uv says where trying again would end the same."""

Say = Callable[[str], None]


class Installer:
    """Runs the programs that make an environment, each in a process group of its own.

    Args:
        guard: kills what runs when this process dies.
    """

    def __init__(self, settings: Settings, guard: Guard) -> None:
        self._settings = settings
        self._guard = guard

    async def make(
        self, directory: Path, packages: Sequence[str], find_links: Sequence[str], say: Say
    ) -> None:
        """An environment that has these packages, and sees what this interpreter sees.

        Args:
            find_links: absolute paths of directories.
            say: called with each line that the programs print.

        Raises:
            InvalidRequest: there are no such packages, they do not go together, or nothing is
                there that installs.
            EngineFailed: it failed otherwise; the last lines are in the message.
            DeadlineExceeded: it took too long.
            OSError: the disk refuses.
        """
        deadline = asyncio.get_running_loop().time() + self._settings.virtual_env_timeout
        bare = (sys.executable, "-m", "venv", "--without-pip", str(directory))
        await self._run(bare, "Making a virtual environment", say, deadline)
        _show_parent(directory)
        doing = f"Installing {', '.join(packages)}"
        say(f"{doing} into {directory}")
        command = [*_install(str(python_of(directory)))]
        if self._settings.virtual_env_offline:
            command.append("--no-index")
        for link in find_links:
            command += ["--find-links", link]
        await self._run([*command, *packages], doing, say, deadline)

    async def _run(self, command: Sequence[str], doing: str, say: Say, deadline: float) -> None:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=_environment(),
            **system.own_session(),
        )
        self._guard.add(process.pid)
        lines: list[str] = []
        reading = asyncio.ensure_future(_read(process, lines, say))
        try:
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait({reading}, timeout=max(0.0, left))
            if not reading.done():
                raise DeadlineExceeded(
                    f"{doing} took longer than {self._settings.virtual_env_timeout:g} s and was "
                    "ended. Raise XINFERENCE_VIRTUAL_ENV_TIMEOUT if it only needs longer."
                )
            status = reading.result()
        finally:
            system.kill_group(process.pid)
            self._guard.remove(process.pid)
            await asyncio.wait({reading})
        if status != 0:
            raise self._failure(doing, status, lines)

    def _failure(
        self, doing: str, status: int, lines: Sequence[str]
    ) -> InvalidRequest | EngineFailed:
        said = " ".join(lines[-5:])
        message = f"{doing} failed: it {system.describe_exit(status)}. The last it said: {said}"
        details = {"log": list(lines)}
        if not any(word in line for word in _HOPELESS for line in lines):
            return EngineFailed(message, details=details)
        if self._settings.virtual_env_offline:
            message += (
                " (Only the directories of virtual_env_find_links are searched: "
                "XINFERENCE_VIRTUAL_ENV_OFFLINE_INSTALL is set.)"
            )
        return InvalidRequest(message, param="virtual_env_packages", details=details)


async def _read(process: asyncio.subprocess.Process, lines: list[str], say: Say) -> int:
    """Until the program has ended; its exit status. `lines` holds the last it said."""
    assert process.stdout is not None
    rest = b""
    while data := await process.stdout.read(_CHUNK):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            text = line.decode(errors="replace").strip()
            if text:
                lines.append(text)
                say(text)
        del lines[:-_LAST_LINES]
        rest = rest[-_CHUNK:]
    return await process.wait()


def _install(python: str) -> Sequence[str]:
    """pip, which knows the configuration of this machine; uv where pip is not installed.

    Raises:
        InvalidRequest: there is neither.
    """
    if find_spec("pip") is not None:
        options = ("--disable-pip-version-check", "--no-input", "--progress-bar", "off")
        return (sys.executable, "-m", "pip", "--python", python, "install", *options)
    beside = os.path.dirname(sys.executable)  # where `pip install uv` puts it, activated or not
    uv = shutil.which("uv", path=beside) or shutil.which("uv")
    if uv is not None:
        return (uv, "pip", "install", "--no-progress", "--python", python)
    raise InvalidRequest(
        f"Packages cannot be installed: {sys.executable} has no pip, and there is no uv. Install "
        "one of them where the worker runs.",
        param="virtual_env_packages",
    )


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("XINFERENCE_CLUSTER_TOKEN", "XINFERENCE_API_KEY", "PIP_USER")
        and not name.startswith("XOSCAR_")
    }
    return {**kept, "PIP_REQUIRE_VIRTUALENV": "0", "PYTHONUNBUFFERED": "1"}


def _show_parent(directory: Path) -> None:
    """Let the environment's interpreter see what ours sees, behind what is its own."""
    paths = sysconfig.get_paths()
    parents = dict.fromkeys((paths["purelib"], paths["platlib"]))
    variables = {"base": str(directory), "platbase": str(directory)}
    own = Path(sysconfig.get_path("purelib", "venv", variables))
    # Not as lines of paths: what .pth files in those directories say counts, too.
    lines = [f"import site; site.addsitedir({path!r})\n" for path in parents]
    (own / "_xinfer_parent.pth").write_text("".join(lines), encoding="utf-8")


def python_of(directory: Path) -> Path:
    """The interpreter of an environment."""
    return directory / "bin" / "python"
