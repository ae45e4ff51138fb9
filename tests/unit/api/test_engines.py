"""Which engines run a model."""

from __future__ import annotations

import pytest

from tests.unit.api.fakes import Api
from xinfer.errors import NotFound
from xinfer.model.catalog.support import ordered_engines
from xinfer.types.control import ReadEngines
from xinfer.types.deployment import LaunchSpec

pytestmark = pytest.mark.anyio

FORM = {
    "model_name": "m",
    "model_format": "ggufv2",
    "model_size_in_billions": "0_5",
    "quantizations": ["Q4_K_M"],
}


@pytest.mark.parametrize(
    ("path", "name", "kind"),
    [
        ("m", "m", None),
        ("LLM/m", "m", "LLM"),
        ("embedding/m", "m", "embedding"),
        ("Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B", None),
        ("LLM/hf:Qwen/Qwen3-0.6B:Q4_0", "hf:Qwen/Qwen3-0.6B:Q4_0", "LLM"),
        ("%2Fmodels%2Fm", "/models/m", None),
    ],
)
async def test_a_model_is_named_as_a_launch_names_it(
    path: str, name: str, kind: str | None
) -> None:
    api = Api()
    api.control.handlers[ReadEngines] = lambda _: {"xllamacpp": [FORM], "vllm": "It is not here."}
    response = await api.http.get(f"/v1/engines/{path}")
    assert response.json() == {"xllamacpp": [FORM], "vllm": "It is not here."}
    assert api.control.operations == [ReadEngines(LaunchSpec(model_name=name, model_type=kind))]


async def test_a_model_that_is_not_there_is_not_found() -> None:
    api = Api()

    def unknown(operation: ReadEngines) -> None:
        raise NotFound("There is no model.", code="model_not_found")

    api.control.handlers[ReadEngines] = unknown
    response = await api.http.get("/v1/engines/LLM/none")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


async def test_engines_tell_their_options() -> None:
    engines = (await Api().http.get("/v1/engines")).json()
    assert engines["xllamacpp"]["options"][0] == {
        "name": "n_threads",
        "type": "integer",
        "default": None,
        "description": "Threads that compute; the processors this process may use, but at most "
        "16, by default.",
        "choices": [],
        "minimum": 1,
        "maximum": None,
    }
    assert list(engines) == ordered_engines()
