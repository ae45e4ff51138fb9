"""Health, metrics, request ids, pages and the description of the API."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from openapi_spec_validator import validate

from tests.unit.api.fakes import Api, deployment
from xinfer.api import page
from xinfer.types.deployment import DeploymentState

pytestmark = pytest.mark.anyio


async def test_ready_means_that_the_control_plane_is_there() -> None:
    api = Api(deployment("a"), deployment("b", state=DeploymentState.LOADING))
    for path in ("/readyz", "/health"):
        assert (await api.http.get(path)).status_code == 200
        assert (await api.http.get(path, params={"model": "a"})).status_code == 200
        assert (await api.http.get(path, params={"model": "b"})).status_code == 503
        assert (await api.http.get(path, params={"model": "c"})).status_code == 404
    api.table.connected = False
    assert (await api.http.get("/readyz")).status_code == 503
    assert (await api.http.get("/livez")).status_code == 200


async def test_without_the_control_plane_models_go_on_serving() -> None:
    api = Api()
    api.table.connected = False
    assert (await api.chat()).status_code == 200


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("abc-1.2_3", "abc-1.2_3"),
        ("a\tb c\x7f<script>", "abcscript"),
        ("x" * 100_000, "x" * 128),
    ],
)
async def test_the_callers_request_id_is_kept_sanitised(sent: str, expected: str) -> None:
    api = Api()
    headers = {"x-request-id": sent}
    response = await api.http.get("/livez", headers=headers)
    assert response.headers.get_list("x-request-id") == [expected]


@pytest.mark.parametrize("sent", ["", "中文", "!!!"])
async def test_a_request_without_a_usable_id_gets_one(sent: str) -> None:
    headers = {"x-request-id": sent.encode()}
    ids = {
        (await Api().http.get("/livez", headers=headers)).headers["x-request-id"] for _ in range(2)
    }
    assert len(ids) == 2
    assert all(len(one) == 32 for one in ids)


async def test_the_id_in_the_body_wins_and_is_the_handle_to_abort() -> None:
    api = Api()
    for stream in (False, True):
        response = await api.chat(request_id="mine/1", stream=stream)
        assert response.headers["x-request-id"] == "mine1"
    assert api.gateway.request_ids == ["mine1", "mine1"]
    await api.http.post("/v1/models/echo/requests/mine%2F1/abort", json={})
    await api.http.post("/v1/models/echo/requests/mine1/abort", json={})
    assert api.gateway.aborts[-1] == ("echo", "mine1")


async def test_an_error_is_logged_in_one_line_with_its_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    api = Api()
    with caplog.at_level(logging.INFO, "xinfer.api.access"):
        await api.http.get("/v1/models/a%0Ab%1b[31m", headers={"x-request-id": "trace-me"})
    (line,) = (record.getMessage() for record in caplog.records)
    assert "trace-me GET" in line
    assert "404" in line
    assert line.isprintable()


async def test_the_description_of_the_api_is_valid_and_has_the_bodies() -> None:
    spec = (await Api().http.get("/openapi.json")).json()
    validate(spec)
    chat = spec["paths"]["/v1/chat/completions"]["post"]
    assert chat["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("ChatBody")
    assert "text/event-stream" in chat["responses"]["200"]["content"]
    assert "ErrorAnswer" in spec["components"]["schemas"]
    fields = spec["components"]["schemas"]["ChatBody"]["properties"]
    assert {"messages", "temperature", "tools", "stream"} <= set(fields)
    assert "HTTPValidationError" not in str(spec)


def _page(static: Path) -> AsyncClient:
    app = FastAPI(docs_url=None, redoc_url=None)
    page.install(app, static)
    return AsyncClient(transport=ASGITransport(app=app), base_url="http://api")


async def test_page_and_docs_come_from_files_of_the_package(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "docs").mkdir()
    (tmp_path / "index.html").write_text("<h1>page</h1>")
    (tmp_path / "assets" / "a-1.js").write_text("1")
    (tmp_path / "docs" / "swagger-ui-bundle.js").write_text("2")
    http = _page(tmp_path)
    assert (await http.get("/")).text == "<h1>page</h1>"
    script = await http.get("/assets/a-1.js")
    assert "immutable" in script.headers["cache-control"]
    assert (await http.get("/docs/swagger-ui-bundle.js")).text == "2"
    for path, link in (("/docs", "docs/swagger-ui"), ("/docs/", '"swagger-ui')):
        text = (await http.get(path)).text
        assert link in text
        assert "http" not in text
    assert "docs/redoc" in (await http.get("/redoc")).text
    assert (await http.get("/assets/../index.html")).status_code == 404


async def test_without_the_files_a_plain_text_says_so(tmp_path: Path) -> None:
    http = _page(tmp_path)
    for path in ("/", "/docs", "/docs/", "/redoc"):
        response = await http.get(path)
        assert response.status_code == 200
        assert "not built" in response.text
        assert response.headers["content-type"].startswith("text/plain")
    for path in ("/assets/x.js", "/docs/x.js"):
        assert (await http.get(path)).status_code == 404


async def test_cors_is_off_unless_origins_are_listed() -> None:
    headers = {"origin": "http://a.example"}
    assert (
        "access-control-allow-origin"
        not in (await Api().http.get("/livez", headers=headers)).headers
    )
    api = Api(cors_origins="http://a.example, http://b.example", api_key="k")
    preflight = await api.http.options(
        "/v1/models", headers={**headers, "access-control-request-method": "POST"}
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "http://a.example"
    other = await api.http.get("/livez", headers={"origin": "http://c.example"})
    assert "access-control-allow-origin" not in other.headers
