"""What is cached: found, listed, verified, removed; and what the hubs' libraries have cached."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from tests.support.fake_hub import FakeHub, sha256
from tests.unit.model.hub.test_fake_hub import HUGGINGFACE, MODELSCOPE, run
from tests.unit.model.hub.test_fetch import FILES, HF, MS, get, model
from xinfer.errors import Conflict
from xinfer.model.hub.cache import (
    LOCK,
    cached_model,
    entry_at,
    find_cached,
    find_entries,
    list_entries,
    model_version,
    needed_by,
    remove,
    repair,
    verify,
)
from xinfer.model.hub.locks import EntryLock
from xinfer.settings import Settings
from xinfer.types.model import ModelSpec


def test_an_entry_is_found_by_version_name_and_repository(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", FILES)
    path = get(model(HF), settings)
    for wanted in ("m", "M--B--pytorch--none", "owner/name"):
        assert [entry.path for entry in find_entries(wanted, settings)] == [path]
    assert find_entries("other", settings) == []


def test_versions_are_named_as_clients_know_them() -> None:
    llm = ModelSpec(name="qwen", format="ggufv2", size_in_billions=0.5, quantization="q4_0")
    assert model_version(llm) == "qwen--0_5B--ggufv2--q4_0"
    assert model_version(ModelSpec(name="bge", type="rerank")) == "bge"


def test_what_was_used_last_is_listed_first(hub: FakeHub, settings: Settings) -> None:
    for name in ("a/one", "a/two"):
        hub.add(name, FILES)
        get(model(msgspec.structs.replace(HF, repo=name)), settings)
    one, two = find_entries("a/one", settings)[0], find_entries("a/two", settings)[0]
    os.utime(one.path / ".xinfer.json", (1, 1))
    os.utime(two.path / ".xinfer.json", (2, 2))
    assert [entry.manifest.repo for entry in list_entries(settings)] == ["a/two", "a/one"]
    assert cached_model(model(msgspec.structs.replace(HF, repo="a/one")), settings)
    assert [entry.manifest.repo for entry in list_entries(settings)] == ["a/one", "a/two"]


def test_an_entry_is_verified_byte_by_byte(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", FILES)
    path = get(model(HF), settings)
    entry = entry_at(path / "model.safetensors", settings)
    assert entry is not None
    assert verify(entry) == []
    data = bytearray(FILES["model.safetensors"])
    data[1234] ^= 1
    (path / "model.safetensors").write_bytes(data)
    (path / "config.json").unlink()
    corrupt = verify(entry)
    found = {each.name: each for each in corrupt}
    assert found["model.safetensors"].expected == sha256(FILES["model.safetensors"])
    assert found["model.safetensors"].actual == sha256(bytes(data))
    assert found["config.json"].actual == "no file"
    repair(entry, corrupt)
    assert get(model(HF), settings) == path
    assert verify(entry) == []


def test_an_entry_is_removed_with_its_directories(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", FILES)
    get(model(HF), settings)
    (entry,) = list_entries(settings)
    remove(entry)
    assert list_entries(settings) == []
    assert not (settings.cache_path / "huggingface" / "owner").exists()
    remove(entry)  # it is gone: so it is


def test_what_is_being_downloaded_is_not_removed(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", FILES)
    get(model(HF), settings)
    (entry,) = list_entries(settings)
    lock = EntryLock(entry.path.with_name(entry.path.name + LOCK))
    assert lock.acquire()
    try:
        with pytest.raises(Conflict, match="being downloaded"):
            remove(entry)
    finally:
        lock.release()
    remove(entry)


def test_a_manifest_that_cannot_be_read_is_no_entry(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", FILES)
    path = get(model(HF), settings)
    (path / ".xinfer.json").write_text("{")
    assert list_entries(settings) == []
    assert cached_model(model(HF), settings) is None
    assert get(model(HF), settings) == path
    assert len(list_entries(settings)) == 1


@pytest.mark.parametrize(
    ("script", "source", "place"),
    [(HUGGINGFACE, HF, "huggingface/hub"), (MODELSCOPE, MS, "modelscope")],
    ids=["huggingface", "modelscope"],
)
def test_what_the_hubs_library_has_cached_is_found(
    hub: FakeHub, settings: Settings, script: str, source: object, place: str, tmp_path: Path
) -> None:
    assert source in (HF, MS)
    chosen = HF if source is HF else MS
    hub.add("owner/name", FILES)
    assert find_cached(chosen, ("config.json",), settings) is None
    directory = run(hub, script, tmp_path / place)
    hub.requests.clear()
    needed = needed_by(model(chosen), chosen)
    found = find_cached(chosen, needed, settings)
    assert found is not None
    assert found.samefile(directory)
    assert get(model(chosen), settings) == found
    assert find_cached(chosen, ("absent.txt",), settings) is None
    assert hub.requests == []
    assert list_entries(settings) == []  # it is not ours
    # Half a snapshot is none.
    (found / "model.safetensors").unlink()
    assert find_cached(chosen, needed, settings) is None


def test_a_snapshot_that_was_not_finished_is_not_trusted(settings: Settings) -> None:
    root = Path(settings.hf_home) / "hub" / "models--owner--name"
    (root / "snapshots" / "abc").mkdir(parents=True)
    (root / "refs").mkdir()
    (root / "refs" / "main").write_text("abc")
    for name, data in FILES.items():
        (root / "snapshots" / "abc" / name).write_bytes(data)
    needed = needed_by(model(HF), HF)
    assert find_cached(HF, needed, settings) == root / "snapshots" / "abc"
    (root / "blobs").mkdir()
    (root / "blobs" / "0123.incomplete").touch()
    assert find_cached(HF, needed, settings) is None


def test_an_older_layout_of_modelscope_is_found(settings: Settings) -> None:
    directory = Path(settings.modelscope_cache) / "hub" / "models" / "owner" / "name-0___5B"
    directory.mkdir(parents=True)
    for name, data in FILES.items():
        (directory / name).write_bytes(data)
    source = msgspec.structs.replace(MS, repo="owner/name-0.5B")
    assert find_cached(source, needed_by(model(source), source), settings) == directory
