"""What has been downloaded: our own cache, and those of the hubs' libraries, which are only read.

Ours is `cache/HUB/OWNER/NAME/KEY/` below XINFERENCE_HOME: a directory with the files under the
names that the hub gives them, and a manifest. It appears under its name when it is whole; until
then it is `KEY.partial`, and whoever fills it holds a lock on `KEY.lock`. The key is made of the
names and contents of the files, so that a commit that changes none of them changes nothing here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from xinfer.errors import Conflict, EngineFailed, InvalidRequest, NotFound, Unavailable
from xinfer.model.files import LocalFiles, ModelFile
from xinfer.model.hub.locks import EntryLock
from xinfer.model.hub.names import check_repo
from xinfer.model.hub.needed import Needed, needed_files
from xinfer.settings import Settings
from xinfer.types.model import ModelSpec, Source

MANIFEST = ".xinfer.json"
PARTIAL = ".partial"
LOCK = ".lock"
CORRUPT = "corrupt_file"
"""Code of the error for a file that is not what its hub says it is."""

_HASH_CHUNK = 1 << 20  # bytes
_SHORTEST_COMMIT = 7  # characters


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an entry of the cache is, written last."""

    hub: str
    repo: str
    commit: str
    revisions: tuple[str, ...]
    """Under which it was asked for; empty for the hub's default."""
    files: tuple[ModelFile, ...]
    model: ModelSpec
    """The one it was downloaded for, without path and sources."""
    created: int
    """Unix seconds."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One model of our cache."""

    path: Path
    manifest: Manifest
    used: float
    """When it was last downloaded or loaded; Unix seconds."""

    @property
    def size(self) -> int:
        return sum(file.size for file in self.manifest.files)


class Corrupt(msgspec.Struct, frozen=True, kw_only=True):
    """A file that is not what the hub said it is."""

    name: str
    expected: str
    """Its size, or its digest in hexadecimal."""
    actual: str


def model_version(model: ModelSpec) -> str:
    """What the cache's routes call a form of a model."""
    if model.type != "LLM":
        return model.name
    size = "" if model.size_in_billions is None else f"{model.size_in_billions:g}".replace(".", "_")
    return "--".join((model.name, f"{size}B", model.format, model.quantization))


def repository_directory(source: Source, settings: Settings) -> Path:
    """Where the entries of a repository lie.

    Raises:
        InvalidRequest: its name is none.
    """
    return settings.cache_path / source.hub / check_repo(source.repo)


def entry_key(files: Sequence[ModelFile], commit: str) -> str:
    """The name of the directory that holds exactly these files."""
    lines = sorted(f"{file.name}\0{file.size}\0{content_id(file, commit)}" for file in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def content_id(file: ModelFile, commit: str) -> str:
    """What tells one content of a file from another."""
    return file.sha256 or file.git_id or commit


def find_cached(source: Source, needed: Needed | Sequence[str], settings: Settings) -> Path | None:
    """A directory that holds the needed files whole, as far as names and sizes tell; else None.

    Asks no hub. Our cache comes first, then that of the hub's own library.

    Args:
        needed: names, or what chooses them from a listing.
    """
    for entry in entries_of(repository_directory(source, settings)):
        asked = source.revision or ""
        commit = len(asked) >= _SHORTEST_COMMIT and entry.manifest.commit.startswith(asked)
        if asked not in entry.manifest.revisions and not commit:
            continue
        if _holds(entry.manifest.files, needed) and is_whole(entry):
            return entry.path
    for directory in _foreign(source, settings):
        if _holds(LocalFiles(directory).list(), needed):
            return directory
    return None


def cached_model(model: ModelSpec, settings: Settings) -> ModelSpec | None:
    """The model with the path of what has been downloaded of it before, from any of its sources;
    None where nothing whole is here. Asks no hub."""
    for source in model.sources:
        directory = find_cached(source, needed_by(model, source), settings)
        if directory is not None:
            mark_used(directory)
            return located(model, source, directory)
    return None


def needed_by(model: ModelSpec, source: Source) -> Needed:
    """What chooses the files of this model from a listing of this source."""
    return lambda listing: needed_files(listing, model.format, source.files)


def located(model: ModelSpec, source: Source, directory: Path) -> ModelSpec:
    """The model with the path that an engine loads: the first file that was asked for, else the
    directory."""
    path = directory / source.files[0] if source.files else directory
    if not source.files and model.format == "ggufv2":
        listing = LocalFiles(directory).list()
        path = directory / needed_files(listing, model.format)[0]
    return msgspec.structs.replace(
        model, path=str(path), hub=source.hub, model_id=source.repo, revision=source.revision
    )


def mark_used(directory: Path) -> None:
    """Remember that an entry of ours was used just now; one that cannot be written to does not."""
    with suppress(OSError):
        os.utime(directory / MANIFEST)


def list_entries(settings: Settings) -> list[Entry]:
    """All that is whole in our cache, what was used last first."""
    found = [
        entry
        for hub in _directories(settings.cache_path)
        for owner in _directories(hub)
        for name in (owner, *_directories(owner))
        for entry in entries_of(name)
    ]
    return sorted(found, key=lambda entry: -entry.used)


def find_entries(version: str, settings: Settings) -> list[Entry]:
    """Entries by `model_version`, by the model's name, or by `owner/name`."""
    wanted = version.lower()
    return [
        entry
        for entry in list_entries(settings)
        if wanted
        in (
            model_version(entry.manifest.model).lower(),
            entry.manifest.model.name.lower(),
            entry.manifest.repo.lower(),
        )
    ]


def remove(entry: Entry) -> None:
    """Take an entry, and what was begun of it, off the disk.

    Raises:
        Conflict: it is being downloaded just now.
        Unavailable: the disk refuses.
    """
    lock = EntryLock(entry.path.with_name(entry.path.name + LOCK))
    try:
        if not lock.acquire():
            raise Conflict(f"{entry.manifest.repo} is being downloaded.", code="in_use")
        # Renamed first: half an entry must not look whole.
        gone = entry.path.with_name(entry.path.name + PARTIAL)
        if gone.exists():
            shutil.rmtree(gone)
        entry.path.rename(gone)
        shutil.rmtree(gone)
    except FileNotFoundError:
        pass  # somebody else has removed it
    except OSError as error:
        raise Unavailable(f"{entry.path} cannot be removed: {error}.", code="disk_error") from None
    finally:
        lock.release(remove=True)
    for parent in (entry.path.parent, entry.path.parent.parent):
        with suppress(OSError):  # others are in it
            parent.rmdir()


def repair(entry: Entry, corrupt: Sequence[Corrupt]) -> None:
    """Take files that `verify` found off the disk, so that the next `fetch` has them again.

    Raises:
        OSError: the disk refuses.
    """
    for each in corrupt:
        (entry.path / each.name).unlink(missing_ok=True)


def is_whole(entry: Entry) -> bool:
    """Whether all files are there in their sizes; their contents are not looked at."""
    return not any(_wrong_size(entry.path, file) for file in entry.manifest.files)


def verify(entry: Entry, cancelled: Callable[[], bool] = lambda: False) -> list[Corrupt]:
    """Read all files of an entry and compare them with what the hub said of them. Blocks for as
    long as the disk takes.

    Raises:
        OSError: a file cannot be read.
    """
    found = []
    for file in entry.manifest.files:
        wrong = _wrong_size(entry.path, file) or wrong_digest(entry.path / file.name, file)
        if wrong is not None:
            found.append(wrong)
        if cancelled():
            break
    return found


def entry_at(path: Path, settings: Settings) -> Entry | None:
    """The entry of our cache that a path lies in."""
    for directory in (path, *path.parents):
        if settings.cache_path not in directory.parents:
            return None
        entry = read_entry(directory)
        if entry is not None:
            return entry
    return None


def corrupt_file(where: str, wrong: Corrupt) -> EngineFailed:
    """The error for a file that is not what it should be."""
    return EngineFailed(
        f"{wrong.name} of {where} is corrupt: expected {wrong.expected}, got {wrong.actual}.",
        code=CORRUPT,
        details={"file": wrong.name, "expected": wrong.expected, "actual": wrong.actual},
    )


def wrong_digest(path: Path, file: ModelFile) -> Corrupt | None:
    """How a file differs from what the hub says of its content; None where it does not, or the hub
    says nothing."""
    digest = begin_digest(file)
    expected = file.sha256 or file.git_id
    if digest is None:
        return None
    with path.open("rb") as opened:
        while chunk := opened.read(_HASH_CHUNK):
            digest.update(chunk)
    actual = digest.hexdigest()
    return None if actual == expected else Corrupt(name=file.name, expected=expected, actual=actual)


def begin_digest(file: ModelFile) -> hashlib._Hash | None:
    """What is fed the file's bytes to tell the digest that the hub tells; None where it tells
    none."""
    if file.sha256:
        return hashlib.sha256()
    if file.git_id:
        # Git hashes a file behind a header of its own.
        return hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
    return None


def _wrong_size(directory: Path, file: ModelFile) -> Corrupt | None:
    try:
        size = (directory / file.name).stat().st_size
    except FileNotFoundError:
        return Corrupt(name=file.name, expected=f"{file.size} bytes", actual="no file")
    if size == file.size:
        return None
    return Corrupt(name=file.name, expected=f"{file.size} bytes", actual=f"{size} bytes")


def _holds(listing: Sequence[ModelFile], needed: Needed | Sequence[str]) -> bool:
    if not callable(needed):
        return {file.name for file in listing}.issuperset(needed)
    try:
        return bool(needed(listing))
    except (NotFound, InvalidRequest):
        return False


def entries_of(repository: Path) -> Iterator[Entry]:
    found = [read_entry(each) for each in _directories(repository) if each.suffix != PARTIAL]
    there = [each for each in found if each is not None]
    yield from sorted(there, key=lambda each: -each.manifest.created)


def read_entry(directory: Path) -> Entry | None:
    path = directory / MANIFEST
    if directory.suffix == PARTIAL:
        return None
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
        return Entry(path=directory, manifest=manifest, used=path.stat().st_mtime)
    except (OSError, msgspec.MsgspecError):
        return None


def _directories(parent: Path) -> list[Path]:
    try:
        return sorted(each for each in parent.iterdir() if each.is_dir())
    except OSError:
        return []


def _foreign(source: Source, settings: Settings) -> Iterator[Path]:
    if source.hub == "huggingface":
        yield from _huggingface_snapshots(source, settings)
    elif source.hub == "modelscope":
        yield from _modelscope_snapshots(source, settings)


def _huggingface_snapshots(source: Source, settings: Settings) -> Iterator[Path]:
    cache = settings.hf_cache or str(Path(settings.hf_home) / "hub")
    root = Path(cache).expanduser() / f"models--{source.repo.replace('/', '--')}"
    # A snapshot shows what has come of it so far, and nothing says whether that is all.
    if any(root.glob("blobs/*.incomplete")):
        return
    asked = source.revision or "main"
    with suppress(OSError):
        yield root / "snapshots" / (root / "refs" / asked).read_text(encoding="utf-8").strip()
    if source.revision:
        yield root / "snapshots" / source.revision


def _modelscope_snapshots(source: Source, settings: Settings) -> Iterator[Path]:
    base = Path(settings.modelscope_cache).expanduser()
    owner, _, name = source.repo.rpartition("/")
    yield base / "models" / f"{owner}--{name}" / "snapshots" / (source.revision or "master")
    if source.revision is None:
        for root in (base / "models", base / "hub" / "models"):  # of its older versions
            yield root / owner / name.replace(".", "___")
