"""Routes of what has been downloaded."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.fakes import Api
from xinfer.errors import Conflict
from xinfer.types.cluster import CachedModel
from xinfer.types.control import ReadCache, RemoveCached

pytestmark = pytest.mark.anyio


def cached(repo: str, **more: Any) -> CachedModel:
    return CachedModel(
        worker="127.0.0.1:4000",
        model_name=repo.rpartition("/")[2],
        model_type="LLM",
        model_format="ggufv2",
        model_size_in_billions=0.5,
        quantization="Q4_0",
        model_version=f"{repo.rpartition('/')[2]}--0_5B--ggufv2--Q4_0",
        hub="huggingface",
        repo=repo,
        commit="0123",
        path=f"/cache/{repo}",
        files=("a.gguf", "sub/b.txt"),
        size_bytes=7,
        last_used=1_700_000_000,
    )


def api_with(*models: CachedModel) -> Api:
    api = Api()
    api.control.handlers[ReadCache] = lambda _: list(models)
    return api


async def test_the_list_has_the_incumbents_fields_and_ours() -> None:
    api = api_with(cached("owner/one"), cached("owner/two"))
    answer = (await api.http.get("/v1/cache/models")).json()
    assert answer["list"][0] == {
        "model_name": "one",
        "model_type": "LLM",
        "model_size_in_billions": 0.5,
        "model_format": "ggufv2",
        "quantization": "Q4_0",
        "model_version": "one--0_5B--ggufv2--Q4_0",
        "path": "/cache/owner/one",
        "real_path": "/cache/owner/one",
        "actor_ip_address": "127.0.0.1:4000",
        "model_hub": "huggingface",
        "model_id": "owner/one",
        "revision": "0123",
        "size_bytes": 7,
        "last_used": 1_700_000_000,
    }
    assert len(answer["list"]) == 2


@pytest.mark.parametrize("name", ["two", "TWO", "owner/two", "two--0_5B--ggufv2--Q4_0"])
async def test_one_model_is_listed_by_any_of_its_names(name: str) -> None:
    api = api_with(cached("owner/one"), cached("owner/two"))
    answer = await api.http.get("/v1/cache/models", params={"model_name": name, "worker_ip": "h"})
    assert [each["model_id"] for each in answer.json()["list"]] == ["owner/two"]
    assert api.control.operations[-1] == ReadCache("h")


async def test_the_files_of_a_model_are_told_before_they_are_removed() -> None:
    api = api_with(cached("owner/one"))
    answer = await api.http.get("/v1/cache/models/files", params={"model_version": "owner/one"})
    assert answer.json() == {
        "model_version": "owner/one",
        "worker_ip": None,
        "paths": ["/cache/owner/one/a.gguf", "/cache/owner/one/sub/b.txt"],
    }
    absent = await api.http.get("/v1/cache/models/files", params={"model_version": "../etc"})
    assert absent.status_code == 404
    assert absent.json()["error"]["code"] == "not_cached"


async def test_a_model_is_removed_by_its_version() -> None:
    api = Api()
    api.control.handlers[RemoveCached] = lambda _: 1
    answer = await api.http.delete(
        "/v1/cache/models", params={"model_version": "v", "worker_ip": "10.0.0.1"}
    )
    assert answer.json() == {"result": True}
    assert api.control.operations[-1] == RemoveCached("v", "10.0.0.1")
    assert (await api.http.delete("/v1/cache/models")).status_code == 400


async def test_a_model_that_runs_is_not_removed() -> None:
    api = Api()

    def refuse(_: object) -> None:
        raise Conflict("it runs", code="in_use")

    api.control.handlers[RemoveCached] = refuse
    answer = await api.http.delete("/v1/cache/models", params={"model_version": "v"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "in_use")
