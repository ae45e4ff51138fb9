"""The cache of a node: listed, and emptied of what does not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_hub import fake_hub
from xinfer.core.worker.model_cache import ModelCache
from xinfer.errors import Conflict
from xinfer.model.hub.fetch import fetch
from xinfer.settings import Settings
from xinfer.types.model import ModelSpec, Source

WORKER = "127.0.0.1:4000"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a node that has two models of the same name."""
    with fake_hub() as hub:
        settings = Settings(
            home=str(tmp_path),
            hf_endpoint=hub.endpoint,
            hf_home=str(tmp_path / "hf"),
            modelscope_cache=str(tmp_path / "ms"),
        )
        for repo in ("a/one", "b/one"):
            hub.add(repo, {"config.json": b"{}", "model.safetensors": repo.encode()})
            source = Source(hub="huggingface", repo=repo)
            spec = ModelSpec(name="one", format="pytorch", sources=(source,))
            fetch(spec, settings, lambda _: None, lambda: False)
    return settings


def test_models_are_listed_with_where_they_are(settings: Settings) -> None:
    models = ModelCache(settings, WORKER, lambda: []).list()
    assert {(each.worker, each.repo, each.size_bytes) for each in models} == {
        (WORKER, "a/one", 7),
        (WORKER, "b/one", 7),
    }
    assert all((Path(each.path) / name).is_file() for each in models for name in each.files)


def test_all_that_a_version_names_is_removed(settings: Settings) -> None:
    cache = ModelCache(settings, WORKER, lambda: ["", "/elsewhere/one"])
    assert cache.remove("a/one") == 1
    assert [each.repo for each in cache.list()] == ["b/one"]
    assert cache.remove("one--B--pytorch--none") == 1
    assert cache.list() == []
    assert cache.remove("one") == 0


def test_nothing_is_removed_while_one_of_them_runs(settings: Settings) -> None:
    idle = ModelCache(settings, WORKER, lambda: [])
    (running,) = [each for each in idle.list() if each.repo == "b/one"]
    for path in (running.path, f"{running.path}/model.safetensors"):
        busy = ModelCache(settings, WORKER, lambda path=path: [path])  # type: ignore[misc]
        with pytest.raises(Conflict, match=f"b/one is running on {WORKER}"):
            busy.remove("one")
    assert len(idle.list()) == 2
