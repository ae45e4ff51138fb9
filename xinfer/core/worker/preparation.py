"""What a replica needs on this machine before its process is started: packages, and its files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import msgspec

from xinfer.core.worker.downloads import SHARE, Downloads, downloaded_fraction
from xinfer.core.worker.environments import Environments
from xinfer.core.worker.logs import LineLog
from xinfer.errors import XinferError
from xinfer.model.catalog.damage import find_damage
from xinfer.settings import Settings
from xinfer.types.deployment import Deployment
from xinfer.types.model import FileProgress, Progress


class Preparation:
    """Of one replica.

    Args:
        downloads: has the model's files here, where they are not.
        environments: where the packages that its launch brings are installed.
        log: gets what an installer says.
        on_progress: told how far it has come.
    """

    def __init__(
        self,
        deployment: Deployment,
        *,
        downloads: Downloads,
        environments: Environments,
        log: LineLog,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._deployment = deployment
        self._downloads = downloads
        self._environments = environments
        self._log = log
        self._on_progress = on_progress
        self._load_share = 1.0
        """Of the progress, what the load is; the rest is the download."""
        self.model = deployment.model
        """With the path of its files, once they are here."""
        self.interpreter: str | None = None
        """Of the virtual environment with its packages, once they are installed."""

    @property
    def lacks_packages(self) -> bool:
        return bool(self._deployment.spec.packages) and self.interpreter is None

    @property
    def lacks_files(self) -> bool:
        return not self.model.path and bool(self.model.sources)

    async def install(self, stack: AsyncExitStack) -> None:
        """Have the packages that it lacks in a virtual environment.

        Args:
            stack: holds the environment.

        Raises:
            XinferError: they cannot be installed.
        """
        deployment = self._deployment
        self.interpreter = await stack.enter_async_context(
            self._environments.interpreter(
                deployment.spec.packages,
                deployment.spec.find_links,
                model=deployment.model.name,
                engine=deployment.engine,
                say=self._say,
            )
        )

    def _say(self, line: str) -> None:
        """An installer says something: it belongs to the log, and shows that it goes on."""
        self._log.append(f"{line}\n".encode())
        self._on_progress(Progress(0.0, "launching", line[:200]))

    async def obtain(self) -> None:
        """Have the files that it lacks here.

        Raises:
            XinferError: they cannot be had.
        """
        self.model = await self._downloads.obtain(self.model, self._take_files)
        self._on_progress(Progress(1.0 - self._load_share, "loading"))

    def _take_files(self, files: tuple[FileProgress, ...]) -> None:
        self._load_share = 1.0 - SHARE
        fraction = SHARE * downloaded_fraction(files)
        self._on_progress(Progress(fraction, "downloading", "Downloading model files", files))

    def of_all(self, load: Progress) -> Progress:
        """How far all has come when the load has come so far."""
        share = self._load_share
        return msgspec.structs.replace(load, fraction=1.0 - share + share * load.fraction)

    async def find_damage(
        self, settings: Settings, cancelled: Callable[[], bool]
    ) -> XinferError | None:
        """What says that a file has changed since it was downloaded."""
        if not self.model.sources:
            return None
        return await asyncio.to_thread(find_damage, self.model.path, settings, cancelled)
