"""Models on hubs, as resolving sees them: looked into, not downloaded."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec

from xinfer.errors import InvalidRequest, XinferError
from xinfer.model.catalog.damage import entry_name, find_damage
from xinfer.model.files import LocalFiles, ModelFiles
from xinfer.model.hub.cache import cached_model, find_cached, list_entries
from xinfer.model.hub.repository import open_repository
from xinfer.model.hub.sources import none_has_it, order_sources
from xinfer.model.inspect.files import inspect_files
from xinfer.settings import Settings
from xinfer.types.model import ModelSpec, Source

ONE_OF_MANY = ("ggufv2", "onnx")
"""Formats of which a repository holds several models, a file each."""


class RemoteModels:
    """`Hubs`, by the caches and over the network."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        # Somebody waits for the answer: a hub that has been reached and says nothing is given up
        # as soon as one that cannot be reached, not as late as in a download.
        patience = min(settings.download_stall_timeout, settings.hub_detect_timeout)
        self._hasty = dataclasses.replace(settings, download_stall_timeout=patience)

    def cached(self, source: Source) -> list[ModelSpec]:
        found: list[ModelSpec] = []
        for entry in list_entries(self._settings):
            names = [file.name for file in entry.manifest.files]
            if (entry.manifest.hub, entry.manifest.repo) != (source.hub, source.repo):
                continue
            if find_cached(source, names, self._settings) is not None:
                found.append(_of(entry.manifest.model, source))
        if found:
            return found
        everything = find_cached(
            source, lambda listing: tuple(file.name for file in listing), self._settings
        )
        if everything is None:
            return []
        try:
            return _forms(LocalFiles(everything), source)
        except XinferError:  # what another program keeps there is no whole model
            return []

    def inspect(self, sources: Sequence[Source]) -> list[ModelSpec]:
        failures: list[tuple[Source, XinferError]] = []
        for source in order_sources(sources, self._preference(sources)):
            try:
                return _forms(open_repository(source, self._hasty), source)
            except InvalidRequest:
                raise  # it was found, and is no model
            except XinferError as error:
                failures.append((source, error))
        raise none_has_it(failures)

    def located(self, model: ModelSpec) -> ModelSpec:
        return cached_model(model, self._settings) or model

    def damage(self, model: ModelSpec) -> XinferError | None:
        return find_damage(model.path, self._settings)

    def kept(self) -> list[str]:
        return list(dict.fromkeys(entry_name(entry) for entry in list_entries(self._settings)))

    def _preference(self, sources: Sequence[Source]) -> str | None:
        """The hub that the setting names, where the launch leaves a choice."""
        wanted = self._settings.model_src.lower()
        return wanted if any(source.hub == wanted for source in sources) else None


def _forms(files: ModelFiles, source: Source) -> list[ModelSpec]:
    name = source.repo.rpartition("/")[2]
    return [_of(model, source) for model in inspect_files(files, name=name)]


def _of(model: ModelSpec, source: Source) -> ModelSpec:
    """A form with the repository that it comes from, of which it may be some files of many."""
    files = model.files if model.format in ONE_OF_MANY else source.files
    return msgspec.structs.replace(
        model,
        path="",
        sources=(msgspec.structs.replace(source, files=files),),
        hub=source.hub,
        model_id=source.repo,
        revision=source.revision,
    )
