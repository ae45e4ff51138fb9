"""Virtual environments of replicas: packages that a launch brings, beside those of this server.

An environment's interpreter sees all that the worker's own does, and what was installed into it
goes first. Equal sets of packages share one. It lies below `XINFERENCE_HOME/virtualenv`, holds a
manifest once it is whole, and a lock while it is made or removed.
"""

from __future__ import annotations

import asyncio
import hashlib
import platform
import shutil
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec

from xinfer.core.launch_environment import check_find_links, check_packages
from xinfer.core.worker.installer import Installer, Say, python_of
from xinfer.errors import Conflict
from xinfer.model.hub.locks import EntryLock
from xinfer.settings import Settings

MANIFEST = "xinfer.json"

_POLL = 0.2  # seconds between two looks at a lock that another process holds


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest of one, written last."""

    packages: tuple[str, ...]
    python_version: str
    models: tuple[str, ...] = ()
    """Names of the models that it was made for or has served."""
    engines: tuple[str, ...] = ()


class Environments:
    """Makes them when they are needed, lists them, removes them."""

    def __init__(self, settings: Settings, installer: Installer) -> None:
        self._settings = settings
        self._installer = installer
        self._root = settings.home_path / "virtualenv"
        self._users: dict[Path, int] = {}
        """Replicas of this worker that run in each, or wait for it."""

    @asynccontextmanager
    async def interpreter(
        self,
        packages: Sequence[str],
        find_links: Sequence[str],
        *,
        model: str,
        engine: str,
        say: Say,
    ) -> AsyncIterator[str]:
        """The interpreter that has these packages; its environment is not removed while the
        context lasts.

        Args:
            model, engine: who it is for, for the list.
            say: called with each line that an installer prints.

        Raises:
            InvalidRequest: what `check_environment` says; or as `Installer.make`, whose other
                errors are raised, too.
        """
        check_packages(packages)
        check_find_links(find_links, self._settings)
        links = [str(link) for link in await asyncio.to_thread(_absolute, find_links)]
        wanted = tuple(sorted({package.strip() for package in packages}))
        directory = self._root / _key(wanted)
        self._users[directory] = self._users.get(directory, 0) + 1
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            lock = EntryLock(directory.with_suffix(".lock"))
            while not lock.acquire():  # noqa: ASYNC110 - another process may hold it
                await asyncio.sleep(_POLL)
            try:
                manifest = _manifest(directory)
                if manifest is None:
                    # What an earlier try has left.
                    await asyncio.to_thread(shutil.rmtree, directory, True)
                    await self._installer.make(directory, wanted, links, say)
                    manifest = Environment(
                        packages=wanted, python_version=platform.python_version()
                    )
                _note(directory, manifest, model, engine)
            finally:
                lock.release()
            yield str(python_of(directory))
        finally:
            self._users[directory] -= 1

    def entries(self) -> list[tuple[Path, Environment]]:
        """Those that are whole, by directory. Blocks."""
        found = [(path, _manifest(path)) for path in sorted(self._root.glob("*/"))]
        return [(path, manifest) for path, manifest in found if manifest is not None]

    def remove(self, model: str, engine: str | None = None, python: str | None = None) -> bool:
        """Remove those of a model; whether there was one. Blocks.

        Args:
            engine: only those that it ran on.
            python: only those of this version, or of one that begins so.

        Raises:
            Conflict: a replica runs in one, or it is being made.
        """
        removed = False
        for path, manifest in self.entries():
            if (
                model not in manifest.models
                or (engine is not None and engine not in manifest.engines)
                or (python is not None and not manifest.python_version.startswith(python))
            ):
                continue
            lock = EntryLock(path.with_suffix(".lock"))
            if self._users.get(path) or not lock.acquire():
                raise Conflict(
                    f"The virtual environment {path} of {model} is in use. Terminate the models "
                    f"that run in it first: {', '.join(manifest.models)}.",
                    code="in_use",
                )
            try:
                (path / MANIFEST).unlink()  # half of one must not look whole
                shutil.rmtree(path)
            finally:
                lock.release(remove=True)
            removed = True
        return removed


def _absolute(links: Sequence[str]) -> list[Path]:
    return [Path(link).expanduser().resolve() for link in links]


def _key(packages: Sequence[str]) -> str:
    """The name of the directory for this set: packages, and the interpreter they are for."""
    text = "\n".join([sys.executable, platform.python_version(), *packages])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _manifest(directory: Path) -> Environment | None:
    try:
        return msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Environment)
    except (OSError, msgspec.MsgspecError):
        return None


def _note(directory: Path, manifest: Environment, model: str, engine: str) -> None:
    """Write the manifest, with one more model that it is for."""
    noted = msgspec.structs.replace(
        manifest,
        models=tuple(dict.fromkeys((*manifest.models, model))),
        engines=tuple(dict.fromkeys((*manifest.engines, engine))),
    )
    path = directory / MANIFEST
    partial = path.with_suffix(".partial")
    partial.write_bytes(msgspec.json.encode(noted))
    partial.replace(path)
