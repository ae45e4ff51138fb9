"""`doctor`: on this machine as it is, with a hub and a server that answer or not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import Result

from tests.support.fake_hub import FakeHub, fake_hub
from xinfer.deploy.doctor import examination
from xinfer.deploy.doctor.accelerators import Torch


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """HuggingFace on this machine; ModelScope is where nobody listens."""
    monkeypatch.setattr(examination, "ask_torch", lambda: Torch(version="2"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
    with fake_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{hub.port}")
        yield hub


def findings(result: Result) -> dict[str, list[Any]]:
    areas: dict[str, list[Any]] = {}
    for one in json.loads(result.stdout):
        areas.setdefault(one["area"], []).append(one)
    return areas


def test_one_hub_is_enough_and_engines_and_models_are_counted(
    hub: FakeHub, server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/models", {"data": [{"id": "a", "status": "READY"}]})
    areas = findings(xinference("doctor", "--json"))
    assert [one["state"] for one in areas["hubs"]] == ["ok", "absent"]
    assert {"echo on processors", "xllamacpp on processors"} <= {
        one["text"] for one in areas["engines"]
    }
    assert areas["server"] == [
        {"area": "server", "state": "ok", "text": f"{server.url}: 1 model(s)", "fix": ""}
    ]


def test_without_any_hub_and_with_a_failed_model_it_ends_with_1(
    hub: FakeHub, server: Any, xinference: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    server.on("GET /v1/models", {"data": [{"id": "a", "status": "ERROR"}]})
    result = xinference("doctor")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    at = next(i for i, line in enumerate(lines) if "HuggingFace" in line)
    assert lines[at].startswith("FAULT hubs: ")
    assert lines[at + 1].startswith("      fix: set HTTPS_PROXY, or HF_ENDPOINT to a mirror")
    assert "FAULT server: model a has failed" in lines
    assert "      fix: xinference logs a, then xinference terminate a" in lines


def test_a_server_that_wants_a_key_is_told_from_none(
    hub: FakeHub, server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/models", server.failure(401, "no key"))
    (found,) = findings(xinference("doctor", "--json"))["server"]
    assert (found["state"], found["fix"]) == ("fault", "pass the key with --api-key")
    nobody = xinference("doctor", "--json", "-e", "http://127.0.0.1:9")
    assert findings(nobody)["server"][0]["state"] == "absent"
