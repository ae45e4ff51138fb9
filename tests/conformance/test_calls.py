"""Calls and thoughts as a real engine's tokens bring them: a model that says them to the letter."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest
from msgspec import structs

from tests.support.gguf_models import CHAT_TEMPLATE, script_model
from tests.support.token_engine import Driver, driving
from tests.unit.model.llm.pipeline.tools.transcripts import FUNCTIONS, TRANSCRIPTS, Transcript
from xinfer.model.engine import TokenEngine, find_engine, parse_options
from xinfer.model.inspect.model import inspect_path
from xinfer.types.request import ChatRequest, Constraint, Sampling

pytestmark = pytest.mark.anyio

ENGINES = ("xllamacpp", "llama-cpp-python")
TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"
    + CHAT_TEMPLATE
    + "{% if enable_thinking %}<think>{% elif enable_thinking is defined %}</think>{% endif %}"
)
OPENED = {"template_kwargs": {"enable_thinking": True}}
THOUGHTS = "<think>Which function, 你好?</think>\n\n"
FIRST = {case.parser: case for case in reversed(TRANSCRIPTS)}
"""One of each form."""


def as_pieces(text: str) -> list[bytes]:
    """A few bytes each, cut wherever they end, and no two alike."""
    data, pieces = text.encode(), []
    while data:
        size = 3
        while data[:size] in pieces and size < len(data):
            size += 1
        pieces.append(data[:size])
        data = data[size:]
    return pieces


@asynccontextmanager
async def saying(engine: str, path: Path, script: str, **fields: Any) -> AsyncIterator[Driver]:
    """A model that says the script whatever it is asked, on an engine."""
    name, kind = find_engine(engine)
    pytest.importorskip(engine.replace("-python", "").replace("-", "_"))
    script_model(path / "script.gguf", as_pieces(script), template=TEMPLATE)
    spec = structs.replace(inspect_path(str(path / "script.gguf")), **fields)
    loaded = kind(spec, parse_options(kind, name, {"n_threads": 1, "n_parallel": 1}))
    async with driving(cast(TokenEngine, loaded), spec) as driver:
        yield driver


def asking(**fields: Any) -> ChatRequest:
    messages = [{"role": "user", "content": "hi"}]
    return ChatRequest(messages=messages, sampling=Sampling(temperature=0.0), **fields)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", FIRST.values(), ids=lambda case: case.parser)
async def test_thoughts_then_calls_of_every_form(
    engine: str, case: Transcript, tmp_path: Path
) -> None:
    script = THOUGHTS + case.output
    async with saying(engine, tmp_path, script, tool_call_parser=case.parser) as driver:
        made = await asyncio.wait_for(driver.complete(asking(tools=FUNCTIONS)), 60)
    assert made.reasoning == "Which function, 你好?"
    assert made.text == case.text
    assert [(call.name, json.loads(call.arguments)) for call in made.calls] == case.calls
    assert made.finish == "tool_calls"
    assert made.completion_tokens == len(as_pieces(script))


@pytest.mark.parametrize("engine", ENGINES)
async def test_thoughts_are_free_and_what_follows_them_is_held_to_a_constraint(
    engine: str, tmp_path: Path
) -> None:
    choice = Constraint("choice", '["yes", "no"]', "guided_choice")
    script = THOUGHTS.removeprefix("<think>") + "perhaps, yes"
    async with saying(engine, tmp_path, script) as driver:
        made = await asyncio.wait_for(driver.complete(asking(constraint=choice, **OPENED)), 60)
        off = {"template_kwargs": {"enable_thinking": False}}
        bare = await asyncio.wait_for(driver.complete(asking(constraint=choice, **off)), 60)
    assert made.reasoning == "Which function, 你好?"
    assert made.text in ("yes", "no")
    assert (bare.reasoning, bare.text) in (("", "yes"), ("", "no"))
    assert (made.finish, bare.finish) == ("stop", "stop")


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_forced_call_follows_thoughts_and_has_the_arguments_of_its_schema(
    engine: str, tmp_path: Path
) -> None:
    said = "which I do not call"
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Rome", "Paris"]}, "days": {"enum": [1, 2]}},
        "required": ["city", "days"],
    }
    tool = {"type": "function", "function": {"name": "get_weather", "parameters": schema}}
    script = THOUGHTS.removeprefix("<think>") + said
    async with saying(engine, tmp_path, script) as driver:
        forced = asking(tools=[tool], tool_choice="named", tool_name="get_weather", **OPENED)
        made = await asyncio.wait_for(driver.complete(forced), 60)
    assert (made.reasoning, made.text) == ("Which function, 你好?", "")
    [call] = made.calls
    assert call.name == "get_weather"
    jsonschema.validate(json.loads(call.arguments), schema)
