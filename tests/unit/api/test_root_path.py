"""A server that a proxy serves under a path, taken off by the proxy or passed on."""

from __future__ import annotations

import pytest

from tests.unit.api.fakes import Api

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("root_path", ["/models", "models/", "/a/b"])
async def test_requests_are_answered_with_and_without_the_path(root_path: str) -> None:
    api = Api(root_path=root_path)
    prefix = "/" + root_path.strip("/")
    for path in ("/v1/models", "/livez", "/docs", "/openapi.json"):
        bare, below = await api.http.get(path), await api.http.get(prefix + path)
        assert (bare.status_code, below.status_code) == (200, 200), path
        assert below.content == bare.content
    assert (await api.http.get(f"{prefix}x/livez")).status_code == 404


async def test_the_documentation_calls_what_the_proxy_serves() -> None:
    served = (await Api(root_path="/models").http.get("/openapi.json")).json()["servers"]
    assert served == [{"url": "/models"}]
    assert "servers" not in (await Api().http.get("/openapi.json")).json()


async def test_a_key_is_needed_below_the_path_as_well() -> None:
    api = Api(root_path="/models", api_key="secret")
    assert (await api.http.get("/models/v1/models")).status_code == 401
    assert (await api.http.get("/models/livez")).status_code == 200
    assert (await api.http.get("/models/models/livez")).status_code == 401
