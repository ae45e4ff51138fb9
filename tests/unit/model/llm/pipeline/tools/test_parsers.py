from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.model.llm.pipeline.tools.transcripts import (
    FUNCTIONS,
    NO_CALLS,
    TRANSCRIPTS,
    Transcript,
)
from xinfer.errors import InvalidRequest
from xinfer.model.llm.pipeline.detokenizer import Detokenizer
from xinfer.model.llm.pipeline.tools import PARSERS, Functions, detect, tool_parser
from xinfer.types.event import ToolCall

Result = tuple[str, list[ToolCall]]


def parse(parser: str, pieces: list[bytes]) -> Result:
    """As a stream would be parsed: bytes that are cut anywhere."""
    made, detokenizer = PARSERS[parser](Functions(FUNCTIONS)), Detokenizer()
    text, calls = "", []
    for piece in [*pieces, None]:
        fresh = detokenizer.flush() if piece is None else detokenizer.feed(piece)
        parsed = made.feed(fresh)
        text, calls = text + parsed.text, [*calls, *parsed.calls]
    rest = made.finish()
    assert made.held == 0
    return text + rest.text, [*calls, *rest.calls]


def grow(parser: str, pieces: list[bytes]) -> tuple[str, list[ToolCall], list[int]]:
    """The same, where calls are told as they grow; and how many pieces each call came in."""
    made, detokenizer = PARSERS[parser](Functions(FUNCTIONS)), Detokenizer()
    made.growing = True
    text, told = "", []
    for piece in [*pieces, None]:
        parsed = made.feed(detokenizer.flush() if piece is None else detokenizer.feed(piece))
        text, told = text + parsed.text, [*told, *parsed.calls]
    rest = made.finish()
    assert made.held == 0
    calls: list[ToolCall] = []
    counts: list[int] = []
    for call in [*told, *rest.calls]:
        if call.name:
            calls.append(call)
            counts.append(1)
        else:
            calls[-1] = ToolCall(calls[-1].name, calls[-1].arguments + call.arguments)
            counts[-1] += 1
    return text + rest.text, calls, counts


def at_every_place(data: bytes) -> list[list[bytes]]:
    """Cut in two at each byte, or at a hundred places of a long one; and into single bytes."""
    step = max(1, len(data) // 400)
    cuts = [[data[:cut], data[cut:]] for cut in range(0, len(data) + 1, step)]
    return [*cuts, [data[i : i + 1] for i in range(len(data))]]


@pytest.mark.parametrize("case", TRANSCRIPTS, ids=lambda case: f"{case.parser}-{case.id}")
def test_the_calls_are_found_however_the_output_is_cut(case: Transcript) -> None:
    for pieces in at_every_place(case.output.encode()):
        text, calls = parse(case.parser, pieces)
        assert [(call.name, json.loads(call.arguments)) for call in calls] == case.calls
        assert text == case.text


@pytest.mark.parametrize("case", TRANSCRIPTS, ids=lambda case: f"{case.parser}-{case.id}")
def test_calls_that_are_told_as_they_grow_are_the_same_however_the_output_is_cut(
    case: Transcript,
) -> None:
    for pieces in at_every_place(case.output.encode()):
        text, calls, counts = grow(case.parser, pieces)
        assert [(call.name, json.loads(call.arguments)) for call in calls] == case.calls
        assert text == case.text
    if case.parser == "pythonic":
        return
    told = [len(arguments) for _, arguments in case.calls]
    assert all(count > 2 for count, told_ones in zip(counts, told, strict=True) if told_ones)


@pytest.mark.parametrize(("parser", "output"), NO_CALLS, ids=lambda value: str(value)[:40])
def test_what_is_no_call_stays_text_however_it_is_cut(parser: str, output: str) -> None:
    for pieces in at_every_place(output.encode()):
        assert parse(parser, pieces) == (output, [])


@pytest.mark.parametrize("parser", PARSERS)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_any_output_is_parsed_the_same_however_it_is_cut(parser: str, data: st.DataObject) -> None:
    parts = [case.output for case in TRANSCRIPTS if case.parser == parser]
    parts += [output for name, output in NO_CALLS if name == parser and len(output) < 200]
    parts += [*PARSERS[parser].markers, " ", "\n", '"', "{", "}", "]", "\\", "text", "search\n"]
    chosen = data.draw(st.lists(st.sampled_from(parts), max_size=6))
    damaged = "".join(
        part[: data.draw(st.integers(0, len(part)))] if data.draw(st.booleans()) else part
        for part in chosen
    ).encode()
    whole = parse(parser, [damaged])
    rng = random.Random(data.draw(st.integers(0, 1000)))
    cuts = sorted(rng.randrange(len(damaged) + 1) for _ in range(rng.randrange(8)))
    pieces = [damaged[i:j] for i, j in zip([0, *cuts], [*cuts, len(damaged)], strict=True)]
    assert parse(parser, pieces) == whole
    assert parse(parser, [damaged[i : i + 1] for i in range(len(damaged))]) == whole
    if not whole[1]:
        assert whole[0] == damaged.decode(errors="replace")
    one, two = grow(parser, [damaged]), grow(parser, pieces)
    assert one[:2] == two[:2]
    waiting = list(one[1])
    for call in whole[1]:  # all of them are there, among those that were cut off
        while waiting and not _same(waiting[0], call):
            waiting.pop(0)
        assert waiting
        waiting.pop(0)


def _same(one: ToolCall, other: ToolCall) -> bool:
    try:
        arguments = json.loads(one.arguments)
    except ValueError:
        return False
    return (one.name, arguments) == (other.name, json.loads(other.arguments))


def test_a_call_that_was_begun_and_breaks_off_is_not_text_again() -> None:
    output = '<tool_call>{"name": "search", "arguments": {"query": "so'
    assert parse("hermes", [output.encode()]) == (output, [])
    text, calls, _ = grow("hermes", [output.encode()])
    assert (text, calls) == ("", [ToolCall("search", '{"query": "so')])


def test_text_is_not_held_back_when_no_call_can_begin_with_it() -> None:
    parser = PARSERS["hermes"](Functions(FUNCTIONS))
    assert parser.feed("One < two") == ("One < two", ())
    assert parser.feed(" <tool") == ("", ())
    assert parser.feed("box>") == (" <toolbox>", ())


@pytest.mark.parametrize(
    ("template", "parser"),
    [
        ("<tool_call>\n<function=example>", "qwen3_coder"),
        ("<tool_call>{name}<arg_key>", "glm45"),
        ("<tool_call>", "hermes"),
        ("[AVAILABLE_TOOLS] [TOOL_CALLS]", "mistral"),
        ("<｜tool▁calls▁begin｜>", "deepseek_v3"),
        ('<|start_header_id|> {"name": function name, "parameters": …}', "llama3_json"),
        ("<|start_header_id|> [func_name1(params_name1=…)]", "pythonic"),
        ("[gMASK]<|assistant|><|observation|>", "glm4"),
        ("{{ tools }}", "hermes"),
    ],
)
def test_the_form_is_known_by_the_template(template: str, parser: str) -> None:
    assert detect(template) is PARSERS[parser]


def test_an_unknown_parser_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequest, match=r"hermes.*qwen3_coder") as caught:
        tool_parser("xml")
    assert caught.value.param == "tool_call_parser"
