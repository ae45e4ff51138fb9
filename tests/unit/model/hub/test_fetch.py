"""Downloads: resumed, shared, checked, and visible only when whole."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import msgspec
import pytest

from tests.support.fake_hub import FakeHub, git_id, sha256
from tests.support.waiting import eventually
from xinfer.errors import Cancelled, EngineFailed, Forbidden, NotFound, Unavailable, XinferError
from xinfer.model.hub.cache import cached_model, entry_at, list_entries
from xinfer.model.hub.fetch import fetch
from xinfer.settings import Settings
from xinfer.types.model import FileProgress, ModelSpec, Source

WEIGHTS = os.urandom(300_000)
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"t" * 5000,
    "model.safetensors": WEIGHTS,
    "README.md": b"not needed",
}
HF = Source(hub="huggingface", repo="owner/name")
MS = Source(hub="modelscope", repo="owner/name")
BOTH = pytest.mark.parametrize("source", [HF, MS], ids=["huggingface", "modelscope"])


def model(*sources: Source, format: str = "pytorch") -> ModelSpec:
    return ModelSpec(name="m", format=format, sources=sources)


def get(spec: ModelSpec, settings: Settings, *, refresh: bool = False) -> Path:
    return Path(fetch(spec, settings, lambda _: None, lambda: False, refresh=refresh).path)


def failure(spec: ModelSpec, settings: Settings) -> XinferError:
    with pytest.raises(XinferError) as caught:
        get(spec, settings)
    return caught.value


def hidden(settings: Settings) -> list[str]:
    """What is there of downloads that are not done."""
    return [path.name for path in settings.cache_path.rglob("*.part*")]


@BOTH
def test_what_the_engine_needs_is_had_and_nothing_else(
    hub: FakeHub, settings: Settings, source: Source
) -> None:
    repo = hub.add("owner/name", FILES)
    seen: list[tuple[FileProgress, ...]] = []
    fetched = fetch(model(source), settings, seen.append, lambda: False)
    directory = Path(fetched.path)
    there = {path.name: path.read_bytes() for path in directory.iterdir() if path.name[0] != "."}
    assert there == {name: data for name, data in FILES.items() if name != "README.md"}
    assert (fetched.hub, fetched.model_id) == (source.hub, "owner/name")
    last = {file.name: file for file in seen[-1]}
    assert last["model.safetensors"].downloaded_bytes == len(WEIGHTS)
    assert {file.status for file in last.values()} == {"completed"}
    (entry,) = list_entries(settings)
    assert (entry.manifest.repo, entry.manifest.commit) == ("owner/name", repo.commit)
    assert entry.size == sum(map(len, there.values()))
    assert not hidden(settings)


@BOTH
def test_what_is_cached_is_had_without_asking(
    hub: FakeHub, settings: Settings, source: Source
) -> None:
    hub.add("owner/name", FILES)
    first = get(model(source), settings)
    hub.requests.clear()
    assert get(model(source), dataclasses.replace(settings, offline=True)) == first
    assert hub.requests == []


@BOTH
def test_a_body_that_is_cut_is_continued_where_it_stood(
    hub: FakeHub, settings: Settings, source: Source
) -> None:
    hub.add("owner/name", FILES)
    hub.cuts["model.safetensors"] = [100_000, 50_000]
    directory = get(model(source), settings)
    assert (directory / "model.safetensors").read_bytes() == WEIGHTS
    assert [each.start for each in hub.bodies("model.safetensors") if each.start][-1] == 150_000


@BOTH
def test_a_hub_without_ranges_is_read_from_the_start(
    hub: FakeHub, settings: Settings, source: Source
) -> None:
    hub.add("owner/name", FILES)
    hub.ranges = False
    hub.cuts["model.safetensors"] = [100_000]
    assert (get(model(source), settings) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_hub_that_gives_nothing_more_is_given_up(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", FILES)
    hub.cuts["model.safetensors"] = [100_000] + [0] * 20
    error = failure(model(MS), dataclasses.replace(settings, download_max_attempts=2))
    assert isinstance(error, Unavailable)
    assert error.code == "hub_unreachable"
    assert not list_entries(settings)


@BOTH
def test_refusals_on_the_way_are_waited_out(
    hub: FakeHub, settings: Settings, source: Source
) -> None:
    hub.add("owner/name", FILES)
    hub.only, hub.statuses = "model.safetensors", [429, 503]
    assert (get(model(source), settings) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_killed_download_is_continued_by_another_process(
    hub: FakeHub, settings: Settings
) -> None:
    hub.add("owner/name", FILES)
    hub.gate.clear()
    hub.gate_after = 150_000
    request = {"model": msgspec.to_builtins(model(HF)), "settings": dataclasses.asdict(settings)}
    with subprocess.Popen(
        [sys.executable, "-m", "xinfer.model.hub"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()
        came = 0
        while came < 147_456:  # pieces of 16 KiB below the gate
            message = json.loads(child.stdout.readline())
            files = {each["name"]: each for each in message["files"]}
            came = files["model.safetensors"]["downloaded_bytes"]
        child.kill()
    assert not list_entries(settings)
    assert cached_model(model(HF), settings) is None
    hub.requests.clear()
    hub.gate.set()
    assert (get(model(HF), settings) / "model.safetensors").read_bytes() == WEIGHTS
    assert {each.start for each in hub.bodies("model.safetensors")} == {came}
    assert not hub.bodies("tokenizer.json")  # that was whole already


def test_the_process_leaves_with_its_parent(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", FILES)
    hub.gate.clear()
    request = {"model": msgspec.to_builtins(model(HF)), "settings": dataclasses.asdict(settings)}
    with subprocess.Popen(
        [sys.executable, "-m", "xinfer.model.hub"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()
        child.stdout.readline()
        child.stdin.close()
        assert child.wait(10) == 1


@BOTH
def test_a_file_that_is_not_what_the_hub_says_is_refused_with_both_digests(
    hub: FakeHub, settings: Settings, source: Source
) -> None:
    hub.add("owner/name", FILES, digests={"model.safetensors": "0" * 64})
    error = failure(model(source), settings)
    assert isinstance(error, EngineFailed)
    assert error.code == "corrupt_file"
    assert error.details == {
        "file": "model.safetensors",
        "expected": "0" * 64,
        "actual": sha256(WEIGHTS),
    }
    assert not list_entries(settings)


def test_small_files_are_checked_by_their_git_id(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", FILES, digests={"tokenizer.json": "0" * 40})
    error = failure(model(HF), settings)
    assert error.code == "corrupt_file"
    assert error.details == {
        "file": "tokenizer.json",
        "expected": "0" * 40,
        "actual": git_id(FILES["tokenizer.json"]),
    }


def test_a_part_that_was_damaged_is_begun_anew(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", FILES)
    hub.cuts["model.safetensors"] = [100_000, 0, 0, 0]
    failure(model(HF), dataclasses.replace(settings, download_max_attempts=1))
    parts = settings.cache_path.rglob(".xinfer-*.part")
    (part,) = [each for each in parts if each.stat().st_size == 100_000]
    with part.open("r+b") as opened:
        opened.write(b"damage")
    hub.cuts["model.safetensors"] = []
    assert (get(model(HF), settings) / "model.safetensors").read_bytes() == WEIGHTS


def test_two_that_want_the_same_share_one_download(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", FILES)
    hub.gate.clear()
    hub.gate_after = 100_000
    seen: list[tuple[FileProgress, ...]] = []
    paths: list[Path] = []
    first = threading.Thread(target=lambda: paths.append(get(model(HF), settings)))
    first.start()
    eventually(lambda: hub.bodies("model.safetensors"))
    second = threading.Thread(
        target=lambda: paths.append(
            Path(fetch(model(HF), settings, seen.append, lambda: False).path)
        )
    )
    second.start()
    eventually(lambda: seen and {f.name: f.downloaded_bytes for f in seen[-1]}["model.safetensors"])
    hub.gate.set()
    first.join(30)
    second.join(30)
    assert paths[0] == paths[1]
    assert len([each for each in hub.requests if each.path.startswith("/cdn/")]) == 1


def test_a_download_that_is_cancelled_ends_and_keeps_what_came(
    hub: FakeHub, settings: Settings
) -> None:
    hub.add("owner/name", FILES)
    hub.pace = 200_000.0
    seen: list[tuple[FileProgress, ...]] = []

    def enough() -> bool:
        return any(file.downloaded_bytes > 20_000 for file in (seen[-1] if seen else ()))

    with pytest.raises(Cancelled):
        fetch(model(HF), settings, seen.append, enough)
    (part,) = settings.cache_path.rglob(".xinfer-*.part")
    assert 0 < part.stat().st_size < len(WEIGHTS)


def test_a_disk_without_room_is_refused_before_anything_comes(
    hub: FakeHub, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("owner/name", FILES)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10**6, 0, 1000))
    error = failure(model(HF, MS), settings)
    assert isinstance(error, Unavailable)
    assert error.code == "no_disk_space"
    total = sum(len(data) for name, data in FILES.items() if name != "README.md")
    assert error.details == {"needed_bytes": total, "free_bytes": 1000, "total_bytes": total}
    assert str(settings.cache_path) in error.message
    assert not hub.bodies("model.safetensors")


def test_the_next_hub_gives_what_the_first_does_not(hub: FakeHub, settings: Settings) -> None:
    hub.add("only/here", FILES)
    fetched = fetch(
        model(HF, Source(hub="modelscope", repo="only/here")),
        settings,
        lambda _: None,
        lambda: False,
    )
    assert (fetched.hub, fetched.model_id) == ("modelscope", "only/here")


def test_a_gated_model_says_so(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", FILES, token="secret")
    assert isinstance(failure(model(HF), settings), Forbidden)


def test_a_repository_without_weights_has_no_model(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", {"README.md": b""})
    assert isinstance(failure(model(HF), settings), NotFound)


def test_chosen_files_are_had_and_the_first_is_loaded(hub: FakeHub, settings: Settings) -> None:
    hub.add("owner/name", {"a-Q4.gguf": b"4" * 9, "a-Q8.gguf": b"8" * 9, "mmproj.gguf": b"p" * 9})
    four = model(msgspec.structs.replace(HF, files=("a-Q4.gguf", "mmproj.gguf")), format="ggufv2")
    eight = model(msgspec.structs.replace(HF, files=("a-Q8.gguf", "mmproj.gguf")), format="ggufv2")
    path = get(four, settings)
    assert path.name == "a-Q4.gguf"
    assert sorted(each.name for each in path.parent.glob("*.gguf")) == ["a-Q4.gguf", "mmproj.gguf"]
    assert cached_model(eight, settings) is None
    other = get(eight, settings)
    assert other.name == "a-Q8.gguf"
    # What both have was had once.
    assert len([each for each in hub.bodies("mmproj.gguf") if "/cdn/" in each.path]) == 1
    assert (other.parent / "mmproj.gguf").samefile(path.parent / "mmproj.gguf")
    assert cached_model(four, settings) is not None


def test_a_file_that_lost_its_end_is_had_again_and_the_others_are_not(
    hub: FakeHub, settings: Settings
) -> None:
    hub.add("owner/name", FILES)
    directory = get(model(HF), settings)
    os.truncate(directory / "model.safetensors", 10)
    assert cached_model(model(HF), settings) is None
    hub.requests.clear()
    assert get(model(HF), settings) == directory
    assert (directory / "model.safetensors").read_bytes() == WEIGHTS
    assert not hub.bodies("tokenizer.json")


def test_a_new_commit_is_had_on_request_and_an_equal_one_costs_nothing(
    hub: FakeHub, settings: Settings
) -> None:
    repo = hub.add("owner/name", FILES)
    first = get(model(HF), settings)
    repo.files["README.md"] = b"changed"
    hub.requests.clear()
    assert get(model(HF), settings, refresh=True) == first
    assert not hub.bodies("model.safetensors")
    repo.files["tokenizer.json"] = b"new"
    assert get(model(HF), settings) == first
    second = get(model(HF), settings, refresh=True)
    assert second != first
    entry = entry_at(second, settings)
    assert entry is not None
    assert entry.manifest.commit == repo.commit
    assert len([each for each in hub.bodies("model.safetensors") if "/cdn/" in each.path]) == 0


def test_a_commit_finds_what_was_had_by_another_name(hub: FakeHub, settings: Settings) -> None:
    repo = hub.add("owner/name", FILES)
    directory = get(model(HF), settings)
    pinned = model(msgspec.structs.replace(HF, revision=repo.commit))
    found = cached_model(pinned, settings)
    assert found is not None
    assert Path(found.path) == directory
    other = model(msgspec.structs.replace(HF, revision="0123456789"))
    assert cached_model(other, settings) is None
