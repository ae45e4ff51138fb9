"""Models on hubs, looked into before anything is downloaded."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.fake_hub import FakeHub, fake_hub
from tests.support.gguf_models import random_llama
from xinfer.errors import InvalidRequest, NotFound, Unavailable
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.engines import engines_of
from xinfer.model.catalog.forms import examine, find_forms
from xinfer.model.catalog.remote import RemoteModels
from xinfer.model.catalog.resolve import Resolved, resolve
from xinfer.model.catalog.surroundings import Surroundings
from xinfer.model.hub.fetch import fetch
from xinfer.settings import Settings
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import Source

REPO = "lab/small-GGUF"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return random_llama(tmp_path_factory.mktemp("models") / "small.gguf").read_bytes()


@pytest.fixture
def hub(weights: bytes) -> Iterator[FakeHub]:
    with fake_hub() as hub:
        hub.add(REPO, {"small-f32.gguf": weights, "README.md": b"# small", "other.bin": b"x" * 99})
        yield hub


@pytest.fixture
def settings(hub: FakeHub, tmp_path: Path) -> Settings:
    return Settings(
        home=str(tmp_path / "home"),
        hf_endpoint=hub.endpoint,
        hf_home=str(tmp_path / "huggingface"),
        modelscope_endpoint=hub.endpoint,
        modelscope_cache=str(tmp_path / "modelscope"),
        hub_detect_timeout=1.0,
    )


def launch(settings: Settings, name: str) -> Resolved:
    around = Surroundings(Catalogue(), RemoteModels(settings))
    return resolve(LaunchSpec(model_name=name), around)


def test_a_repository_is_resolved_by_its_listing_and_a_header(
    hub: FakeHub, settings: Settings, weights: bytes
) -> None:
    found = launch(settings, REPO)
    assert found.model.path == ""
    assert found.model.sources == (Source(hub="huggingface", repo=REPO, files=("small-f32.gguf",)),)
    assert (found.model.quantization, found.model.size_bytes) == ("F32", len(weights))
    assert found.memory.weights >= len(weights)
    assert not (settings.home_path / "cache").exists()


def test_a_hub_is_named_by_the_launch_or_by_the_setting(hub: FakeHub, settings: Settings) -> None:
    assert launch(settings, f"ms:{REPO}").model.hub == "modelscope"
    preferring = Settings(
        home=settings.home,
        hf_endpoint=settings.hf_endpoint,
        modelscope_endpoint=settings.modelscope_endpoint,
        model_src="MODELSCOPE",
    )
    assert launch(preferring, REPO).model.hub == "modelscope"
    assert launch(preferring, f"hf:{REPO}").model.hub == "huggingface"


def test_what_was_downloaded_is_found_without_a_request(hub: FakeHub, settings: Settings) -> None:
    fetch(launch(settings, REPO).model, settings, lambda files: None, lambda: False)
    hub.requests.clear()
    again = launch(settings, REPO)
    assert again.model.quantization == "F32"
    assert again.memory.weights > 0
    assert RemoteModels(settings).kept() == [f"hf:{REPO}:F32"]
    assert hub.requests == []


def test_pickled_weights_are_refused_before_a_byte_and_after_unless_they_are_allowed(
    hub: FakeHub, settings: Settings, tmp_path: Path
) -> None:
    files = {"config.json": b'{"architectures": ["BertModel"]}', "pytorch_model.bin": b"x" * 99}
    hub.add("lab/bert", files)
    here = tmp_path / "bert"
    here.mkdir()
    for name, data in files.items():
        (here / name).write_bytes(data)
    around = Surroundings(Catalogue(), RemoteModels(settings))

    def refused() -> None:
        for name in ("lab/bert", "ms:lab/bert", str(here)):
            with pytest.raises(InvalidRequest) as raised:
                examine(find_forms(LaunchSpec(model_name=name), around).models[0], around)
            assert raised.value.code == "pickle_refused"
            assert "pytorch_model.bin" in raised.value.message
            assert "XINFERENCE_ALLOW_PICKLE=1" in raised.value.message
            answers = engines_of(LaunchSpec(model_name=name), around)
            assert "XINFERENCE_ALLOW_PICKLE=1" in str(answers["sentence_transformers"])

    refused()
    assert not any("pytorch_model.bin" in request.path for request in hub.requests)
    allowing = around._replace(pickle_allowed=True)
    engine = "sentence_transformers"
    if find_spec(engine) is not None:
        assert resolve(LaunchSpec(model_name="lab/bert"), allowing).engine == engine
    found = examine(find_forms(LaunchSpec(model_name="lab/bert"), allowing).models[0], allowing)
    fetch(found, settings, lambda files: None, lambda: False)
    refused()


def test_a_repository_that_nobody_has_is_not_found(settings: Settings) -> None:
    with pytest.raises(NotFound) as raised:
        launch(settings, "lab/none")
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model_name")
    assert "huggingface" in raised.value.message
    assert "modelscope" in raised.value.message


def test_without_a_route_a_launch_fails_in_time_with_both_hubs_and_the_cures(
    hub: FakeHub, tmp_path: Path
) -> None:
    # Of the network for documentation: nothing answers, or the kernel knows no way.
    nowhere = Settings(
        home=str(tmp_path / "home"),
        hf_endpoint="http://192.0.2.1:9",
        modelscope_endpoint="http://192.0.2.2:9",
        hf_home=str(tmp_path / "h"),
        modelscope_cache=str(tmp_path / "m"),
    )
    for name in ("lab/none", "qwen2.5-instruct"):
        began = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            launch(nowhere, name)
        assert time.monotonic() - began < 10
        assert raised.value.code == "hub_unreachable"
        for part in ("192.0.2.1", "192.0.2.2", "--model-path", "HF_ENDPOINT"):
            assert part in raised.value.message


@pytest.mark.parametrize("proxied", [False, True])
def test_hubs_that_take_a_call_and_say_nothing_are_given_up_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxied: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        if proxied:
            monkeypatch.setenv("HTTPS_PROXY", endpoint)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.delenv("no_proxy", raising=False)
            endpoint = "https://hub.invalid"
        settings = Settings(
            home=str(tmp_path),
            hf_endpoint=endpoint,
            modelscope_endpoint=endpoint,
            hub_detect_timeout=1.0,
        )
        began = time.monotonic()
        with pytest.raises(Unavailable) as raised:
            launch(settings, "lab/none")
        # With the default of 3 s instead of 1 s: in less than 10 s.
        assert time.monotonic() - began < 3.3
        assert raised.value.code == "hub_unreachable"
