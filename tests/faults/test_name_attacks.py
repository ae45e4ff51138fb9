"""Names that lead elsewhere: out of a directory, or into a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.server import Server, running_server

CLIMBING = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    "a\0b",
    "%2e%2e",
    "a\\..\\b",
    "x" * 10_000,
    "a\u202eb",
    "a\nb",
]


def param(answer: httpx.Response) -> str:
    assert answer.status_code in (400, 404), answer.text
    return str(answer.json()["error"]["param"])


def description(**fields: Any) -> dict[str, str]:
    spec = {"model_format": "pytorch", "model_id": "a/b", **fields.pop("spec", {})}
    return {"model": json.dumps({"model_name": "mine", "model_specs": [spec], **fields})}


@pytest.mark.parametrize("name", CLIMBING, ids=ascii)
def test_s02_no_name_or_path_leads_out_of_where_it_belongs(
    server: Server, name: str, tmp_path: Path
) -> None:
    route = "/v1/model_registrations/LLM"

    def register(**fields: Any) -> httpx.Response:
        return server.http.post(route, json={**description(**fields), "persist": True})

    assert param(register(model_name=name)) == "model_name"
    template = {"model_format": "ggufv2", "model_file_name_template": f"../{name}.gguf"}
    assert param(register(spec=template)) == "model_specs[0].model_file_name_template"
    assert param(register(spec={"model_id": f"../{name}"})) == "model_specs[0].model_id"
    uri = param(register(spec={"model_uri": f"file:///no/such/{name}\0"}))
    assert uri == "model_specs[0].model_uri"
    assert name not in server.http.get(route).text
    gone = server.http.delete(f"{route}/{quote(name, safe='')}")
    assert gone.status_code in (400, 404)
    uid = server.http.post("/v1/models", json={"model_name": "echo", "model_uid": f"/{name}"})
    assert param(uid) == "model_uid"
    launched = server.http.post("/v1/models", json={"model_name": name})
    assert launched.status_code in (400, 404), launched.text
    assert len(launched.text) < 4000
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "secret.gguf").write_text("no model")
    (tmp_path / "link.gguf").symlink_to(directory / "secret.gguf")
    link = server.http.post("/v1/models", json={"model_name": str(tmp_path / "link.gguf")})
    assert link.status_code == 400
    assert "no model" not in link.text.replace("is no model", "")


def test_s03_nothing_that_a_request_names_is_imported(tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    (tmp_path / "planted.py").write_text(f"open({str(trace)!r}, 'w').close()\nEngine = None\n")
    with running_server(PYTHONPATH=str(tmp_path)) as server:
        for number, name in enumerate(("planted:Engine", "planted.Engine", "planted", "os:system")):
            body = {"model_name": "echo", "model_engine": name}
            assert param(server.http.post("/v1/models", json=body)) == "model_engine"
            flexible = {"model_name": "f", "launcher": name, "model_uri": str(tmp_path)}
            answer = server.http.post(
                "/v1/model_registrations/flexible", json={"model": json.dumps(flexible)}
            )
            assert param(answer) == "model_type"
            told = server.http.post(
                "/v1/model_registrations/LLM",
                json=description(model_name=f"m-{number}", launcher=name, tool_parser=name),
            )
            assert (told.status_code, told.headers["X-Ignored-Fields"]) == (
                200,
                "launcher, tool_parser",
            )
    assert not trace.exists()
