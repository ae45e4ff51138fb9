"""The virtual environments of models, over HTTP."""

from __future__ import annotations

import pytest

from tests.unit.api.fakes import Api
from xinfer.types.cluster import RemoveEnvironments
from xinfer.types.control import DropEnvironments, ReadEnvironments

pytestmark = pytest.mark.anyio


async def test_they_are_listed_in_the_incumbents_shape() -> None:
    api = Api()
    api.control.handlers[ReadEnvironments] = lambda _: [
        {
            "worker": "10.0.0.1:1",
            "model_name": "m",
            "environment": {
                "path": "/v/1",
                "packages": ["peft==0.17"],
                "python_version": "3.11.7",
                "models": ["m", "n"],
                "engines": ["vllm"],
            },
        }
    ]
    query = {"model_name": "m", "model_engine": "", "worker_ip": "10.0.0.1"}
    response = await api.http.get("/v1/virtualenvs", params=query)
    assert response.json() == {
        "list": [
            {
                "model_name": "m",
                "model_engine": "vllm",
                "path": "/v/1",
                "real_path": "/v/1",
                "python_version": "3.11.7",
                "actor_ip_address": "10.0.0.1:1",
                "packages": ["peft==0.17"],
            }
        ]
    }
    assert api.control.operations == [ReadEnvironments("m", None, "10.0.0.1")]


async def test_those_of_a_model_are_removed() -> None:
    api = Api()
    api.control.handlers[DropEnvironments] = lambda _: True
    query = {"model_name": "m", "python_version": "3.11"}
    response = await api.http.delete("/v1/virtualenvs", params=query)
    assert response.json() == {"result": True}
    wanted = RemoveEnvironments(model_name="m", python_version="3.11")
    assert api.control.operations == [DropEnvironments(wanted, None)]


async def test_nothing_is_removed_without_a_model() -> None:
    api = Api()
    response = await api.http.delete("/v1/virtualenvs")
    assert (response.status_code, api.control.operations) == (400, [])
