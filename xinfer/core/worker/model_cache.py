"""The cache of models on this node, for those who ask over the actor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from xinfer.errors import Conflict
from xinfer.model.hub.cache import Entry, find_entries, list_entries, model_version, remove
from xinfer.settings import Settings
from xinfer.types.cluster import CachedModel


class ModelCache:
    """Lists and removes. Its methods block on the disk.

    Args:
        worker: this worker's address.
        in_use: paths of the models that run here.
    """

    def __init__(
        self, settings: Settings, worker: str, in_use: Callable[[], Sequence[str]]
    ) -> None:
        self._settings = settings
        self._worker = worker
        self._in_use = in_use

    def list(self) -> list[CachedModel]:
        """All models that have been downloaded, what was used last first."""
        return [self._describe(entry) for entry in list_entries(self._settings)]

    def remove(self, version: str) -> int:
        """Take what `version` names off the disk: a version, a model's name or a repository.

        Returns:
            How many entries went.

        Raises:
            Conflict: one of them runs, or is being downloaded; nothing was removed then.
            Unavailable: the disk refuses.
        """
        entries = find_entries(version, self._settings)
        running = [Path(path) for path in self._in_use() if path]
        for entry in entries:
            if any(entry.path in (path, *path.parents) for path in running):
                raise Conflict(
                    f"{entry.manifest.repo} is running on {self._worker}. Terminate it first.",
                    code="in_use",
                )
        for entry in entries:
            remove(entry)
        return len(entries)

    def _describe(self, entry: Entry) -> CachedModel:
        manifest = entry.manifest
        return CachedModel(
            worker=self._worker,
            model_name=manifest.model.name,
            model_type=manifest.model.type,
            model_format=manifest.model.format,
            model_size_in_billions=manifest.model.size_in_billions,
            quantization=manifest.model.quantization,
            model_version=model_version(manifest.model),
            hub=manifest.hub,
            repo=manifest.repo,
            commit=manifest.commit,
            path=str(entry.path),
            files=tuple(file.name for file in manifest.files),
            size_bytes=entry.size,
            last_used=int(entry.used),
        )
