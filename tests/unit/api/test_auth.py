"""Who may call: a walk over every route, so that none ships without a decision."""

from __future__ import annotations

import re

import httpx
import pytest
from starlette.routing import BaseRoute, Mount

from tests.unit.api.fakes import Api, deployment
from xinfer.api.auth.policy import PUBLIC
from xinfer.errors import EngineFailed
from xinfer.types.control import ReadNodes
from xinfer.types.deployment import DeploymentState

pytestmark = pytest.mark.anyio

KEY = "sk-test-1234"

OPEN = {"/livez", "/readyz", "/health", "/status", "/v1/cluster/auth", "/v1/address"}
OPEN |= {"/", "/assets", "/ui", "/ui/", "/v1/images/files"}
"""Repeated here on purpose: opening a route takes a change in two places."""


def _with_key(**settings: object) -> Api:
    api = Api(api_key=KEY, **settings)
    api.control.handlers[ReadNodes] = lambda _: [
        {
            "address": "10.0.0.1:4000",
            "age": 0.0,
            "cpu_count": 1,
            "cpu_usage": 0.0,
            "memory_total": 0,
            "memory_available": 0,
            "memory_used": 0,
            "devices": [],
            "problems": [],
        }
    ]
    return api


def _routes(routes: list[BaseRoute]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for route in routes:
        if isinstance(route, Mount):
            found.append(("GET", route.path + "/x"))
            continue
        inner = getattr(route, "original_router", None)
        if inner is not None:
            found.extend(_routes(inner.routes))
            continue
        path = re.sub(r"\{[^}]+\}", "x", route.path)  # type: ignore[attr-defined]
        found.extend((method, path) for method in route.methods)  # type: ignore[attr-defined]
    return found


async def test_every_route_wants_the_key_but_those_on_the_list() -> None:
    api = _with_key()
    walked = _routes(list(api.app.routes))
    assert len(walked) > 20
    assert {path for _, path in walked} >= {"/v1/chat/completions", "/metrics", "/docs"}
    for method, path in walked:
        status = (await api.http.request(method, path)).status_code
        if path in OPEN or path.removesuffix("/x") in OPEN:
            assert status not in (401, 403), (method, path)
        else:
            assert status == 401, (method, path)


async def test_the_list_names_only_routes_that_exist() -> None:
    walked = {path for _, path in _routes(list(_with_key().app.routes))}
    assert walked >= PUBLIC


@pytest.mark.parametrize("path", ["/v1/nothing", "/v1/models/../models", "/assets/../v1/models"])
async def test_what_does_not_exist_is_not_open_either(path: str) -> None:
    response = await _with_key().http.get(httpx.URL("http://api", raw_path=path.encode()))
    assert response.status_code in (401, 404)
    assert "data" not in response.json()


@pytest.mark.parametrize(
    "header",
    [None, "", KEY, f"Basic {KEY}", "Bearer", "Bearer ", f"Bearer {KEY}x", f"Bearer {KEY[:-1]}"],
)
async def test_anything_but_the_key_is_401_in_the_common_form(header: str | None) -> None:
    headers = {} if header is None else {"authorization": header}
    response = await _with_key().http.get("/v1/models", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["error"]["type"] == "authentication_error"
    assert KEY not in response.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_the_key_opens(scheme: str) -> None:
    headers = {"authorization": f"{scheme} {KEY}"}
    assert (await _with_key().http.get("/v1/models", headers=headers)).status_code == 200


async def test_without_a_configured_key_any_key_is_accepted() -> None:
    api = Api()
    headers = {"authorization": "Bearer whatever"}
    assert (await api.http.get("/v1/models", headers=headers)).status_code == 200
    assert (await api.http.get("/v1/models")).status_code == 200


async def test_clients_are_told_whether_a_key_is_wanted() -> None:
    assert (await Api().http.get("/v1/cluster/auth")).json() == {"auth": False}
    assert (await _with_key().http.get("/v1/cluster/auth")).json() == {"auth": True}


async def test_status_keeps_addresses_to_those_with_the_key() -> None:
    api = _with_key()
    assert "10.0.0.1" not in (await api.http.get("/status")).text
    headers = {"authorization": f"Bearer {KEY}"}
    assert "10.0.0.1:4000" in (await api.http.get("/status", headers=headers)).text


async def test_readiness_tells_what_models_there_are_only_to_those_with_the_key() -> None:
    api = _with_key()
    failure = EngineFailed("Secret cause.", details={"log": ["secret line"]})
    api.control.show(deployment("private", state=DeploymentState.ERROR, failure=failure))
    for model, status in (("private", 503), ("privat", 404)):
        path, params = "/readyz", {"model": model}
        response = await api.http.get(path, params=params)
        assert response.status_code == status
        assert "ecret" not in response.text
        assert "private'" not in response.text.replace("Model 'private' is not ready", "")
        headers = {"authorization": f"Bearer {KEY}"}
        full = await api.http.get(path, params=params, headers=headers)
        assert full.status_code == status
        assert "private'" in full.text


async def test_settings_open_docs_and_metrics() -> None:
    api = _with_key(docs_public=True, metrics_public=True)
    for path in ("/docs", "/docs/", "/redoc", "/openapi.json", "/metrics"):
        assert (await api.http.get(path)).status_code == 200, path


async def test_a_refusal_does_not_wait_for_the_body() -> None:
    api = _with_key()
    response = await api.http.post("/v1/models", json={"model_name": "echo"})
    assert response.status_code == 401
    assert api.control.operations == []
