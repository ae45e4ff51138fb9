"""Voices of Piper, by their files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_hub import fake_hub
from xinfer.errors import InvalidRequest
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.forms import examine, find_forms
from xinfer.model.catalog.names import RepositoryName, parse_name, short_name
from xinfer.model.catalog.remote import RemoteModels
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.model.hub.fetch import fetch
from xinfer.model.inspect.model import inspect_path
from xinfer.settings import Settings
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import ModelSpec, Source

TOLD = {"audio": {"sample_rate": 16000}, "phoneme_id_map": {"_": [0]}}
AMY, THORSTEN = "en/en_US/amy/low/en_US-amy-low.onnx", "de/de_DE/de_DE-thorsten-low.onnx"


def voice(path: Path, **told: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"graph")
    Path(f"{path}.json").write_text(json.dumps({**TOLD, **told}))
    return path


@pytest.mark.parametrize("by", ["file", "directory"])
def test_a_voice_is_found_by_its_file_or_its_directory(tmp_path: Path, by: str) -> None:
    file = voice(tmp_path / "mine.onnx", language={"code": "de_DE", "family": "de"})
    assert inspect_path(str(file if by == "file" else tmp_path)) == ModelSpec(
        name="mine",
        type="audio",
        family="piper",
        format="onnx",
        path=str(file),
        abilities=("text2audio",),
        languages=("de",),
        hub="local",
        size_bytes=5,
        files=("mine.onnx", "mine.onnx.json"),
    )


def test_its_language_is_told_by_its_name_too(tmp_path: Path) -> None:
    assert inspect_path(str(voice(tmp_path / "fr_FR-siwis-low.onnx"))).languages == ("fr",)


def test_of_several_voices_one_has_to_be_named(tmp_path: Path) -> None:
    voice(tmp_path / "a.onnx")
    second = voice(tmp_path / "b.onnx")
    around = Surroundings(Catalogue(), RemoteModels(Settings()))
    for spec, param in (
        (LaunchSpec(model_name=str(tmp_path)), "model_name"),
        (LaunchSpec(model_name="mine", model_path=str(tmp_path)), "model_path"),
    ):
        with pytest.raises(InvalidRequest, match=r"2 voices: a\.onnx, b\.onnx") as refused:
            find_forms(spec, around)
        assert refused.value.param == param
    [found] = find_forms(LaunchSpec(model_name=str(second)), around).models
    assert found.name == "b"


@pytest.mark.parametrize(
    ("beside", "reason"),
    [
        (None, r"a\.onnx\.json is not beside"),
        ("{", "damaged|JSON|Expecting"),
        ("{}", "does not describe a voice"),
    ],
)
def test_a_graph_without_its_description_is_no_voice(
    tmp_path: Path, beside: str | None, reason: str
) -> None:
    file = tmp_path / "a.onnx"
    file.write_bytes(b"graph")
    if beside is not None:
        Path(f"{file}.json").write_text(beside)
    with pytest.raises(InvalidRequest, match=reason):
        inspect_path(str(file))


def test_a_name_may_be_that_of_a_file_of_a_repository() -> None:
    assert parse_name(f"hf:lab/voices/{AMY}") == RepositoryName(
        "lab/voices", "huggingface", file=AMY
    )
    assert short_name(f"hf:lab/voices/{AMY}") == "en_US-amy-low"


def test_a_voice_of_a_repository_is_downloaded_alone(tmp_path: Path) -> None:
    told = json.dumps(TOLD).encode()
    files = {name: b"graph of " + name.encode() for name in (AMY, THORSTEN)}
    with fake_hub() as hub:
        hub.add("lab/voices", {**files, f"{AMY}.json": told, f"{THORSTEN}.json": told})
        settings = Settings(
            home=str(tmp_path / "home"), hf_endpoint=hub.endpoint, hub_detect_timeout=5.0
        )
        around = Surroundings(Catalogue(), RemoteModels(settings))
        with pytest.raises(InvalidRequest, match=f"2 voices: .*{AMY}"):
            find_forms(LaunchSpec(model_name="hf:lab/voices"), around)
        [found] = find_forms(LaunchSpec(model_name=f"hf:lab/voices/{AMY}"), around).models
        assert (found.name, found.languages) == ("en_US-amy-low", ("en",))
        assert found.sources == (
            Source(hub="huggingface", repo="lab/voices", files=(AMY, f"{AMY}.json")),
        )
        here = fetch(found, settings, lambda _: None, lambda: False)
    assert Path(here.path).read_bytes() == files[AMY]
    assert Path(f"{here.path}.json").read_bytes() == told
    assert not list((tmp_path / "home").rglob("*thorsten*"))


def test_a_voice_of_the_catalogue_is_that_one_of_its_repository(tmp_path: Path) -> None:
    told = json.dumps(TOLD).encode()
    entry = Catalogue().find("piper-de_DE-thorsten-medium")
    [known] = entry.models()
    [source] = known.sources
    assert source.files[1] == f"{source.files[0]}.json"
    with fake_hub() as hub:
        hub.add(source.repo, {AMY: b"a", f"{AMY}.json": told, **dict.fromkeys(source.files, told)})
        settings = Settings(
            home=str(tmp_path / "home"), hf_endpoint=hub.endpoint, hub_detect_timeout=5.0
        )
        around = Surroundings(Catalogue(), RemoteModels(settings))
        found = examine(known, around)
    assert (found.name, found.files, found.languages) == (entry.name, source.files, ("de",))
    assert found.size_bytes == len(told)
