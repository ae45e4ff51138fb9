"""A model's files from the first of its sources that gives them, into the cache."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import msgspec

from xinfer.errors import Cancelled, Unavailable, XinferError
from xinfer.model.files import ModelFile
from xinfer.model.hub.cache import (
    LOCK,
    MANIFEST,
    PARTIAL,
    Entry,
    Manifest,
    cached_model,
    content_id,
    entries_of,
    entry_key,
    is_whole,
    located,
    mark_used,
    needed_by,
    read_entry,
    repository_directory,
)
from xinfer.model.hub.locks import EntryLock
from xinfer.model.hub.meter import Meter
from xinfer.model.hub.repository import Repository, open_repository
from xinfer.model.hub.sources import none_has_it
from xinfer.model.hub.transfer import part_path, transfer
from xinfer.settings import Settings
from xinfer.types.model import FileProgress, ModelSpec, Source

Report = Callable[[tuple[FileProgress, ...]], None]

NO_SPACE = "no_disk_space"

_INTERVAL = 0.5  # seconds between two reports


def fetch(
    model: ModelSpec,
    settings: Settings,
    progress: Report,
    cancelled: Callable[[], bool],
    *,
    refresh: bool = False,
) -> ModelSpec:
    """The model with its files here: those that are cached, or downloaded now. Blocks.

    Two processes that want the same files share one download. What has come when this is cancelled
    or killed is continued by the next call, in whichever process.

    Args:
        progress: called every half second, from this thread.
        cancelled: looked at with every piece that comes.
        refresh: ask the hub whether what is cached is its latest.

    Raises:
        NotFound, Forbidden, InvalidRequest: no source has it, or gives it.
        EngineFailed: a file is not what the hub says it is (`corrupt_file`).
        Unavailable: the hubs cannot be reached, or the disk has no room (`no_disk_space`).
        Cancelled: `cancelled` said so.
    """
    if not refresh:
        cached = cached_model(model, settings)
        if cached is not None:
            return cached
    failures: list[tuple[Source, XinferError]] = []
    for source in model.sources:
        try:
            return _fetch_from(source, model, settings, progress, cancelled)
        except Cancelled:
            raise
        except XinferError as error:
            if error.code == NO_SPACE:
                raise
            failures.append((source, error))
    raise none_has_it(failures)


def _fetch_from(
    source: Source,
    model: ModelSpec,
    settings: Settings,
    progress: Report,
    cancelled: Callable[[], bool],
) -> ModelSpec:
    repository = open_repository(source, settings)
    try:
        download = _Download(repository, model, settings, progress, cancelled)
        directory = download.run()
        mark_used(directory)
        return located(model, source, directory)
    except OSError as error:
        path = error.filename or settings.cache_path
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Unavailable(
                f"The disk of {settings.cache_path} became full while {source.repo} was "
                "downloaded. What has come is kept; make room, and launch again to continue.",
                code=NO_SPACE,
            ) from error
        raise Unavailable(
            f"{path} cannot be written: {error.strerror or error}. Models are kept below "
            "XINFERENCE_HOME.",
            code="disk_error",
        ) from error


class _Download:
    """One repository's files into one entry of the cache."""

    def __init__(
        self,
        repository: Repository,
        model: ModelSpec,
        settings: Settings,
        progress: Report,
        cancelled: Callable[[], bool],
    ) -> None:
        self._repository = repository
        self._source = repository.source
        self._model = model
        self._settings = settings
        self._progress = progress
        self._cancelled = cancelled
        by_name = {file.name: file for file in repository.list()}
        names = needed_by(model, self._source)(tuple(by_name.values()))
        self._files: Sequence[ModelFile] = [by_name[name] for name in names]
        self._meters = [Meter(file) for file in self._files]
        parent = repository_directory(self._source, settings)
        self._final = parent / entry_key(self._files, repository.revision)
        self._staging = self._final.with_name(self._final.name + PARTIAL)

    def run(self) -> Path:
        """The directory, once it is whole."""
        self._final.parent.mkdir(parents=True, exist_ok=True)
        lock = EntryLock(self._final.with_name(self._final.name + LOCK))
        self._acquire(lock)
        try:
            entry = read_entry(self._final)
            if entry is not None and is_whole(entry):
                self._remember(entry)
            else:
                self._fill()
        finally:
            lock.release()
        for meter, file in zip(self._meters, self._files, strict=True):
            meter.bytes, meter.status = file.size, "completed"
        self._report()
        return self._final

    def _acquire(self, lock: EntryLock) -> None:
        """Wait for whoever downloads the same, and tell how that goes."""
        while not lock.acquire():
            if self._cancelled():
                raise Cancelled("The download was cancelled.")
            for meter, file in zip(self._meters, self._files, strict=True):
                meter.bytes, meter.status = self._present(file), "downloading"
            self._report()
            threading.Event().wait(_INTERVAL)

    def _remember(self, entry: Entry) -> None:
        """That this revision, too, is what the entry holds."""
        asked = {*entry.manifest.revisions, self._source.revision or ""}
        manifest = msgspec.structs.replace(
            entry.manifest,
            commit=self._repository.revision,
            revisions=tuple(sorted(asked)),
            created=int(time.time()),
        )
        self._write(self._final, manifest)

    def _fill(self) -> None:
        if self._final.exists():  # not whole (any more): what is good of it is kept
            if self._staging.exists():
                shutil.rmtree(self._final)
            else:
                self._final.rename(self._staging)
        self._staging.mkdir(exist_ok=True)
        self._link_known()
        self._check_room()
        self._transfer_all()
        manifest = Manifest(
            hub=self._source.hub,
            repo=self._source.repo,
            commit=self._repository.revision,
            revisions=(self._source.revision or "",),
            files=tuple(self._files),
            model=msgspec.structs.replace(self._model, path="", sources=()),
            created=int(time.time()),
        )
        for part in self._staging.glob(".xinfer-*.part"):  # of contents that are no more
            part.unlink()
        self._write(self._staging, manifest)
        self._staging.rename(self._final)

    def _link_known(self) -> None:
        """Files that another entry of this repository has, too: one more name for the same."""
        known = {
            content_id(file, entry.manifest.commit): entry.path / file.name
            for entry in entries_of(self._final.parent)
            if is_whole(entry)
            for file in entry.manifest.files
            if file.sha256 or file.git_id
        }
        for file in self._files:
            there = known.get(content_id(file, self._repository.revision))
            target = self._staging / file.name
            if there is not None and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                with suppress(OSError):  # a file system without links: it is downloaded
                    os.link(there, target)

    def _check_room(self) -> None:
        total = sum(file.size for file in self._files)
        missing = total - sum(self._present(file) for file in self._files)
        free = shutil.disk_usage(self._staging).free
        if missing > free:
            raise Unavailable(
                f"{self._source.repo} needs {missing} more bytes on the disk of "
                f"{self._settings.cache_path}, which has {free} free ({total} in all). Make room "
                "there, remove other models with `xinference remove-cache`, or set "
                "XINFERENCE_HOME to a directory on a larger disk.",
                code=NO_SPACE,
                details={"needed_bytes": missing, "free_bytes": free, "total_bytes": total},
            )

    def _present(self, file: ModelFile) -> int:
        for path in (
            self._staging / file.name,
            part_path(self._staging, file, self._repository.revision),
        ):
            with suppress(OSError):
                return min(path.stat().st_size, file.size)
        return 0

    def _transfer_all(self) -> None:
        failed = threading.Event()

        def is_cancelled() -> bool:
            return failed.is_set() or self._cancelled()

        def one(file: ModelFile, meter: Meter) -> None:
            try:
                if is_cancelled():
                    raise Cancelled("The download was cancelled.")
                transfer(self._repository, file, self._staging, meter, self._settings, is_cancelled)
            except BaseException:
                failed.set()
                raise

        pool = ThreadPoolExecutor(self._settings.download_workers, "download")
        pairs = zip(self._files, self._meters, strict=True)
        futures = {pool.submit(one, *pair) for pair in pairs}
        try:
            running = futures
            while running:
                _, running = wait(running, _INTERVAL, FIRST_EXCEPTION)
                self._report()
        except BaseException:
            # Ctrl-C is not kept waiting for threads that wait for the hub; they write no more.
            failed.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
        errors = [each for each in (future.exception() for future in futures) if each is not None]
        # What the others stopped for comes after what made them stop.
        errors.sort(key=lambda error: isinstance(error, Cancelled))
        if errors:
            raise errors[0]

    def _report(self) -> None:
        now = time.monotonic()
        self._progress(tuple(meter.look(now) for meter in self._meters))

    def _write(self, directory: Path, manifest: Manifest) -> None:
        part = directory / (MANIFEST + ".new")
        part.write_bytes(msgspec.json.encode(manifest))
        os.replace(part, directory / MANIFEST)
