"""Calls and thoughts as a real engine's tokens bring them: a model that says them to the letter."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from msgspec import structs

from tests.support.gguf_models import CHAT_TEMPLATE, script_model
from tests.support.token_engine import driving
from tests.unit.model.llm.pipeline.tools.transcripts import FUNCTIONS, TRANSCRIPTS, Transcript
from xinfer.model.inspect.model import inspect_path
from xinfer.types.request import ChatRequest, Sampling

pytestmark = pytest.mark.anyio

TEMPLATE = "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}<think>" + CHAT_TEMPLATE
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


@pytest.mark.parametrize("case", FIRST.values(), ids=lambda case: case.parser)
async def test_thoughts_then_calls_of_every_form(case: Transcript, tmp_path: Path) -> None:
    engine_module = pytest.importorskip("xinfer.model.llm.llama_cpp.engine")
    pytest.importorskip("llama_cpp")
    pieces = as_pieces(THOUGHTS + case.output)
    path = script_model(tmp_path / "script.gguf", pieces, template=TEMPLATE)
    spec = structs.replace(inspect_path(str(path)), tool_call_parser=case.parser)
    engine = engine_module.LlamaCppEngine(spec, engine_module.LlamaCppEngine.options()())
    async with driving(engine, spec) as driver:
        request = ChatRequest(
            messages=[{"role": "user", "content": "hi"}],
            tools=FUNCTIONS,
            sampling=Sampling(temperature=0.0),
        )
        made = await asyncio.wait_for(driver.complete(request), 60)
    assert made.reasoning == "Which function, 你好?"
    assert made.text == case.text
    assert [(call.name, json.loads(call.arguments)) for call in made.calls] == case.calls
    assert made.finish == "tool_calls"
    assert made.completion_tokens == len(pieces)
