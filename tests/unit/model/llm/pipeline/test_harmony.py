"""Answers in channels: thoughts, calls and text, however they are cut."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.model.llm.pipeline.test_message import SCHEMA, answer, form, joined
from tests.unit.model.llm.pipeline.test_message import prepare as prepare_with
from xinfer.model.llm.echo import ByteTokenizer
from xinfer.model.llm.pipeline import Prepared
from xinfer.model.llm.pipeline.harmony import MARKERS, HarmonyParser, is_harmony
from xinfer.model.llm.pipeline.tools import Functions
from xinfer.types.event import ToolCall

TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}Reasoning: {{ reasoning_effort }}"
    "<|start|>user<|message|>{{ messages[0].content }}<|end|><|start|>assistant"
    "{# <|channel|>final #}{% if messages[0].thinking %}{% endif %}"
)
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}},
    {"type": "function", "function": {"name": "hear", "parameters": {"type": "object"}}},
]
THOUGHT = "<|channel|>analysis<|message|>Hm, 你好.<|end|>"
LOOK = (
    "<|start|>assistant<|channel|>commentary to=functions.look <|constrain|>json<|message|>"
    '{"at": "the <sea>"}<|call|>'
)
HEAR = "<|start|>assistant to=functions.hear<|channel|>commentary json<|message|>{}<|call|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>Done. {x}<|return|>"
PREAMBLE = "<|start|>assistant<|channel|>commentary<|message|>I look.<|end|>"


class Model(ByteTokenizer):
    chat_template = TEMPLATE


def prepare(**fields: Any) -> Prepared:
    return prepare_with(Model(), **fields)


CASES: list[tuple[str, str, str, list[ToolCall]]] = [
    (THOUGHT + FINAL, "Hm, 你好.", "Done. {x}", []),
    (THOUGHT + LOOK, "Hm, 你好.", "", [ToolCall("look", '{"at": "the <sea>"}')]),
    (THOUGHT + PREAMBLE + LOOK + HEAR, "Hm, 你好.", "I look.",
     [ToolCall("look", '{"at": "the <sea>"}'), ToolCall("hear", "{}")]),
    ("<|channel|>final<|message|>Only text.", "", "Only text.", []),
    (THOUGHT + "<|start|>assistant" + THOUGHT + FINAL, "Hm, 你好.\nHm, 你好.", "Done. {x}", []),
    (LOOK.removeprefix("<|start|>assistant").removesuffix("<|call|>"), "", "",
     [ToolCall("look", '{"at": "the <sea>"}')]),
    ("No header at all <|", "", "No header at all <|", []),
    ("<|channel|>commentary to=functions.other<|message|>{}<|call|>", "", "{}", []),
    ("<|channel|>commentary to=functions.look<|message|>{broken<|call|>", "", "{broken", []),
    (THOUGHT + "<|start|>assi", "Hm, 你好.", "", []),
    ("<|channel|>analysis<|message|>cut o", "cut o", "", []),
]  # fmt: skip


@pytest.mark.parametrize(("output", "reasoning", "text", "calls"), CASES)
def test_messages_are_told_apart_however_the_output_is_cut(
    output: str, reasoning: str, text: str, calls: list[ToolCall]
) -> None:
    for step in (1, 2, 7, 10_000):
        made = joined(answer(prepare(tools=TOOLS), output, step))
        assert made == (reasoning, text, calls, "tool_calls" if calls else "stop")


@given(st.lists(st.sampled_from([*MARKERS, "analysis", "final", "commentary", " to=functions.look ",
    "{}", '{"a":1}', "text", " ", "assistant"]), max_size=14), st.integers(1, 9))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_output_is_read_the_same_however_it_is_cut(parts: list[str], step: int) -> None:
    output = "".join(parts)

    def read(size: int, growing: bool) -> tuple[str, str, str]:
        parser = HarmonyParser(Functions(TOOLS), growing=growing)
        made = [parser.feed(output[at : at + size]) for at in range(0, len(output), size)]
        made.append(parser.finish())
        assert parser.held == 0
        calls = [call.name + call.arguments for one in made for call in one.calls]
        return (
            "".join(one.reasoning for one in made),
            "".join(one.text for one in made),
            "".join(calls),
        )

    assert read(step, False) == read(len(output) + 1, False)
    assert read(step, True) == read(len(output) + 1, True)


def test_calls_are_told_in_pieces_where_that_is_asked_for() -> None:
    made = answer(prepare(tools=TOOLS, call_deltas=True), THOUGHT + LOOK + HEAR)
    _, text, calls, reason = joined(made)
    assert (text, reason) == ("", "tool_calls")
    assert [call.name for call in calls if call.name] == ["look", "hear"]
    assert len(calls) > 10
    whole = "".join(call.name + call.arguments for call in calls)
    assert whole == 'look{"at": "the <sea>"}hear{}'


@pytest.mark.parametrize("content", ["", " \n"])
@pytest.mark.parametrize("growing", [False, True])
def test_a_call_that_says_nothing_has_no_arguments(content: str, growing: bool) -> None:
    bare = LOOK[: LOOK.index("{")] + content + "<|call|>"
    _, text, calls, reason = joined(
        answer(prepare(tools=TOOLS, call_deltas=growing), THOUGHT + bare + HEAR)
    )
    assert (text, reason) == ("", "tool_calls")
    assert "".join(call.name + call.arguments for call in calls) == "look{}hear{}"


@pytest.mark.parametrize("growing", [False, True])
def test_where_calls_may_not_be_several_the_first_ends_the_answer(growing: bool) -> None:
    asked: dict[str, Any] = {"tools": TOOLS, "parallel_tool_calls": False}
    prepared = prepare(call_deltas=growing, **asked)
    made = answer(prepared, THOUGHT + LOOK + HEAR)
    calls = joined(made)[2]
    assert [call.name for call in calls if call.name] == ["look"]
    assert json.loads("".join(call.arguments for call in calls)) == {"at": "the <sea>"}
    assert made[-1].stopped


def test_tokens_of_thoughts_are_counted_and_effort_reaches_the_template() -> None:
    prepared = prepare(reasoning_effort="high")
    assert b"Reasoning: high" in bytes(prepared.token_request.prompt)
    answer(prepared, THOUGHT + FINAL)
    thoughts = len("Hm, 你好.".encode())
    assert thoughts <= prepared.output.reasoning_tokens <= thoughts + len("<|message|><|end|>")


def test_what_the_user_reads_is_held_to_a_constraint_and_thoughts_are_not() -> None:
    prepared = prepare(kinds=["structural_tag", "json_schema"], constraint=SCHEMA)
    thoughts, content = form(prepared)["elements"]
    assert thoughts["type"] == "optional"
    texts = [one.get("value") for one in content["elements"]]
    assert texts == ["<|channel|>", "final", "<|message|>", None]
    made = answer(prepared, THOUGHT + "<|start|>assistant<|channel|>final<|message|>true")
    assert joined(made) == ("Hm, 你好.", "true", [], "stop")
    bare = prepare(kinds=["json_schema"], constraint=SCHEMA)
    assert bare.token_request.constraint == SCHEMA
    assert joined(answer(bare, "true")) == ("", "true", [], "stop")


def test_a_call_is_forced_as_a_message() -> None:
    forced: dict[str, Any] = {"tools": TOOLS, "tool_choice": "named", "tool_name": "hear"}
    told = json.dumps(form(prepare(kinds=["structural_tag"], **forced)))
    assert "commentary to=functions.hear " in told
    assert "look" not in told
    elsewhere = prepare(kinds=["json_schema"], **forced)
    made = answer(elsewhere, '{"name": "hear", "arguments": {}}')
    assert joined(made)[2:] == ([ToolCall("hear", "{}")], "tool_calls")


def test_the_format_is_known_by_the_template() -> None:
    assert is_harmony(TEMPLATE)
    assert not is_harmony("<|im_start|>assistant<think>")
