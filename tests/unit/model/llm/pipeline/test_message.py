"""Thoughts, text and calls of one output, from tokens on."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.engine import Logprob
from xinfer.model.llm.echo import ByteTokenizer
from xinfer.model.llm.pipeline import Output, Prepared, TextPipeline
from xinfer.model.llm.pipeline.message import MessageParser
from xinfer.model.llm.pipeline.tools import Functions, tool_parser
from xinfer.types.event import ToolCall
from xinfer.types.model import Abilities, Loaded, ModelSpec
from xinfer.types.request import ChatRequest, Constraint, Sampling

TEMPLATE = (
    "{% for tool in tools or [] %}{{ tool | tojson }}{% endfor %}"
    "{% for message in messages %}{{ message.content }}"
    "{% for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}{% endfor %}"
    "{% endfor %}{% if enable_thinking %}<think>\n{% endif %}"
)
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}
CLOCK = {"type": "function", "function": {"name": "clock"}}
CALL = '<tool_call>{"name": "weather", "arguments": {"city": "東京"}}</tool_call>'
MADE = ToolCall("weather", '{"city": "東京"}')


class Model(ByteTokenizer):
    chat_template = TEMPLATE


class Plain(ByteTokenizer):
    chat_template = "{{ messages[0].content }}"


class Controls(ByteTokenizer):
    """Its tags are control tokens, which have no text of their own."""

    chat_template = TEMPLATE
    controls = ("<think>", "</think>", "<tool_call>", "</tool_call>")

    def encode(self, text: str, *, special: bool) -> list[int]:
        if special and text in self.controls:
            return [257 + self.controls.index(text)]
        return super().encode(text, special=special)

    def piece(self, token: int) -> bytes:
        return b"" if token > 256 else super().piece(token)

    @property
    def vocabulary_size(self) -> int:
        return 257 + len(self.controls)


def prepare(
    tokenizer: ByteTokenizer | None = None,
    spec: ModelSpec | None = None,
    kinds: Any = (),
    **fields: Any,
) -> Prepared:
    abilities = Abilities(constraint=frozenset(kinds), logprobs=True)
    loaded = Loaded(context_length=4096, concurrency=1, abilities=abilities)
    pipeline = TextPipeline(tokenizer or Model(), loaded, spec or ModelSpec(name="model"))
    return pipeline.prepare(
        ChatRequest(messages=[{"role": "user", "content": "hi"}], **fields), id=1
    )


def answer(prepared: Prepared, output: str, step: int = 1, reason: str = "stop") -> list[Output]:
    ids = list(output.encode())
    made = []
    for start in range(0, len(ids), step):
        one = prepared.output.feed(ids[start : start + step])
        made.append(one)
        if one.stopped:
            return made
    return [*made, prepared.output.finish(reason)]


def joined(made: list[Output]) -> tuple[str, str, list[ToolCall], str | None]:
    calls = [call for one in made for call in one.calls]
    return (
        "".join(one.reasoning for one in made),
        "".join(one.text for one in made),
        calls,
        made[-1].reason,
    )


@pytest.mark.parametrize("step", [1, 3, 7, 1000])
def test_thoughts_then_text_then_a_call(step: int) -> None:
    prepared = prepare(tools=[WEATHER], template_kwargs={"enable_thinking": True})
    made = answer(prepared, f"Hm.\n</think>\nLet me see. {CALL}", step)
    assert joined(made) == ("Hm.", "Let me see.", [MADE], "tool_calls")
    assert [token for one in made for token in one.ids] == list(
        f"Hm.\n</think>\nLet me see. {CALL}".encode()
    )
    assert prepared.output.reasoning_tokens == len("Hm.\n</think")
    assert prepared.output.completion_tokens == len(f"Hm.\n</think>\nLet me see. {CALL}".encode())


def test_an_unfinished_call_is_text_and_ends_with_length() -> None:
    made = answer(prepare(tools=[WEATHER]), CALL[:40], reason="length")
    assert joined(made) == ("", CALL[:40], [], "length")


def test_without_functions_calls_are_text() -> None:
    assert joined(answer(prepare(), CALL)) == ("", CALL, [], "stop")
    chosen = prepare(tools=[WEATHER], tool_choice="none")
    assert bytes(chosen.token_request.prompt) == b"hi"
    assert joined(answer(chosen, CALL)) == ("", CALL, [], "stop")


def test_the_ids_delivered_bring_another_pipeline_to_the_same_place() -> None:
    output = f"<think>Hm.</think>Text {CALL} {CALL} end <tool_call>{{"
    whole = joined(answer(prepare(tools=[WEATHER]), output))
    ids = list(output.encode())
    for cut in range(len(ids)):
        first = prepare(tools=[WEATHER]).output
        before = [first.feed([token]) for token in ids[:cut]]
        delivered = [token for one in before for token in one.ids]
        second = prepare(tools=[WEATHER]).output
        again = [second.feed(delivered)]
        assert joined(again)[:3] == joined([*before, Output()])[:3]
        after = [second.feed([token]) for token in ids[len(delivered) :]] + [second.finish("stop")]
        assert joined([*again, *after]) == whole
        assert second.completion_tokens == len(ids)


def test_where_calls_may_not_be_several_the_first_ends_the_answer() -> None:
    for step in (1, 1000):
        prepared = prepare(tools=[WEATHER], parallel_tool_calls=False)
        made = answer(prepared, f"{CALL}\n{CALL} more", step)
        assert joined(made) == ("", "", [MADE], "tool_calls")
        assert made[-1].stopped
    ended = answer(prepare(tools=[WEATHER], parallel_tool_calls=False), CALL[:-12] + CALL)
    assert len(joined(ended)[2]) <= 1


@pytest.mark.parametrize("growing", [True, False])
@pytest.mark.parametrize("between", [" more", "\n", " more<tool"])
def test_what_follows_the_first_call_is_lost_however_the_output_is_cut(
    between: str, growing: bool
) -> None:
    output = f"Text {CALL}{between}{CALL} more"
    for size in (1, 3, len(output)):
        tools = tool_parser("hermes")(Functions([WEATHER]))
        tools.growing = growing
        parser = MessageParser(None, tools, one_call=True)
        made = []
        for at in range(0, len(output), size):
            made.append(parser.feed(output[at : at + size]))
            if parser.ended:
                break
        assert parser.ended
        assert "".join(one.text for one in made) == "Text"
        calls = [call for one in made for call in one.calls]
        assert "".join(call.name + call.arguments for call in calls) == MADE.name + MADE.arguments


@pytest.mark.parametrize("parallel", [True, False])
def test_calls_are_told_in_pieces_where_the_request_asks_for_it(parallel: bool) -> None:
    for step in (1, 5, 1000):
        asked: dict[str, Any] = {"tools": [WEATHER], "call_deltas": True}
        prepared = prepare(parallel_tool_calls=parallel, **asked)
        made = answer(prepared, f"Text {CALL}\n{CALL}", step)
        reasoning, text, calls, reason = joined(made)
        assert (reasoning, text, reason) == ("", "Text", "tool_calls")
        told = "".join(f"[{call.name}]" * bool(call.name) + call.arguments for call in calls)
        assert told == '[weather]{"city": "東京"}' * (2 if parallel else 1)
        assert len(calls) > 4 or step == 1000
    cut = prepare(call_deltas=True, tools=[WEATHER])
    reasoning, text, calls, reason = joined(answer(cut, CALL[:50], reason="length"))
    assert (text, reason) == ("", "length")
    assert [call.name for call in calls if call.name] == ["weather"]


def test_the_ids_delivered_bring_another_pipeline_to_the_same_place_in_a_call() -> None:
    asked: dict[str, Any] = {"tools": [WEATHER], "call_deltas": True}
    ids = list(CALL.encode())
    for cut in range(len(ids)):
        first, second = prepare(**asked).output, prepare(**asked).output
        before = [first.feed([token]) for token in ids[:cut]]
        delivered = [token for one in before for token in one.ids]
        second.feed(delivered)
        after = [second.feed([token]) for token in ids[len(delivered) :]] + [second.finish("stop")]
        told = [call.name + call.arguments for one in (*before, *after) for call in one.calls]
        assert "".join(told) == 'weather{"city": "東京"}'


def test_a_stop_string_ends_the_answer_before_a_call_is_looked_for() -> None:
    made = answer(prepare(tools=[WEATHER], stop=("arguments",)), CALL)
    assert joined(made) == ("", CALL.partition("arguments")[0], [], "stop")


def test_tags_that_are_control_tokens_are_known() -> None:
    prepared = prepare(Controls(), tools=[WEATHER])
    body = CALL.removeprefix("<tool_call>").removesuffix("</tool_call>")
    ids = [257, *b"Hm.", 258, 259, *body.encode(), 260]
    made = [prepared.output.feed([token]) for token in ids] + [prepared.output.finish("stop")]
    assert joined(made) == ("Hm.", "", [MADE], "tool_calls")


def test_every_token_of_what_is_delivered_has_its_logprob() -> None:
    prepared = prepare(tools=[WEATHER], sampling=Sampling(logprobs=0))
    output = f"<think>a</think>b{CALL}"
    made = [
        prepared.output.feed([token], [Logprob(-float(position))])
        for position, token in enumerate(output.encode())
    ]
    made.append(prepared.output.finish("stop"))
    told = [logprob.logprob for one in made for logprob in one.logprobs]
    assert told == [-float(position) for position in range(len(output.encode()))]
    text = next(one for one in made if one.text)
    assert text.logprobs[-1].token == b"b"


def test_a_template_that_shows_no_functions_refuses_them() -> None:
    with pytest.raises(InvalidRequest, match="does not show functions") as caught:
        prepare(Plain(), tools=[WEATHER])
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "tools")
    assert prepare(Plain(), tools=[WEATHER], tool_choice="none")


def test_a_call_is_forced_by_the_schema_of_the_functions() -> None:
    prepared = prepare(
        kinds=["json_schema", "grammar"],
        tools=[WEATHER, CLOCK],
        tool_choice="required",
        template_kwargs={"enable_thinking": True},
    )
    constraint = prepared.token_request.constraint
    assert constraint is not None
    assert constraint.kind == "json_schema"
    names = [one["properties"]["name"]["const"] for one in json.loads(constraint.source)["anyOf"]]
    assert names == ["weather", "clock"]
    made = answer(prepared, '{"name": "clock", "arguments": {}}')
    assert joined(made) == ("", "", [ToolCall("clock", "{}")], "tool_calls")


def test_a_forced_call_is_not_thought_about_unless_the_request_says_so() -> None:
    spec = ModelSpec(name="model", template_kwargs={"enable_thinking": True})
    forced: dict[str, Any] = {"tools": [WEATHER], "tool_choice": "required", "kinds": ["grammar"]}
    assert b"<think>" not in bytes(prepare(spec=spec, **forced).token_request.prompt)
    said = prepare(spec=spec, template_kwargs={"enable_thinking": True}, **forced)
    assert bytes(said.token_request.prompt).endswith(b"<think>\n")


def test_what_a_schema_says_of_itself_is_true_where_the_call_has_it() -> None:
    place = {"type": "object", "properties": {"in": {"$ref": "#/$defs/a~1b"}}}
    parameters = {
        "type": "object",
        "properties": {
            "where": {"$ref": "#/$defs/a~1b"},
            "from": {"$ref": "#/properties/where"},
            "then": {"$ref": "#"},
        },
        "required": ["where"],
        "$defs": {"a/b": place},
    }
    tool = {"type": "function", "function": {"name": "go/on", "parameters": parameters}}
    other = {"type": "function", "function": {"name": "stop"}}
    asked: dict[str, Any] = {"tools": [other, tool], "tool_choice": "required"}
    constraint = prepare(kinds=["json_schema"], **asked).token_request.constraint
    assert constraint is not None
    check = jsonschema.Draft202012Validator(json.loads(constraint.source)).is_valid
    told = {"where": {"in": {"in": {}}}, "from": {}, "then": {"where": {}, "then": {"where": {}}}}
    assert check({"name": "go/on", "arguments": told})
    assert not check({"name": "go/on", "arguments": {**told, "from": 1}})
    assert not check({"name": "go/on", "arguments": {**told, "then": {"then": {"where": {}}}}})
    call = {"name": "go/on", "arguments": {"where": {}}}
    assert not check({"name": "go/on", "arguments": {**told, "then": call}})


@pytest.mark.parametrize(
    ("parameters", "closed"),
    [
        ({"type": "object", "properties": {"a": {}}}, True),
        ({"type": "object", "properties": {"a": {}}, "additionalProperties": {}}, False),
        ({"type": "object", "properties": {}, "anyOf": [{"properties": {"b": {}}}]}, False),
        ({"type": "object"}, False),
    ],
)
def test_a_forced_call_has_no_arguments_that_its_schema_does_not_know(
    parameters: dict[str, Any], closed: bool
) -> None:
    tool = {"type": "function", "function": {"name": "go", "parameters": parameters}}
    prepared = prepare(kinds=["json_schema"], tools=[tool], tool_choice="required")
    constraint = prepared.token_request.constraint
    assert constraint is not None
    schema = json.loads(constraint.source)["properties"]["arguments"]
    assert (schema.get("additionalProperties") is False) == closed


def test_a_named_function_is_forced_by_a_grammar_where_there_is_no_schema() -> None:
    prepared = prepare(
        kinds=["grammar"], tools=[WEATHER, CLOCK], tool_choice="named", tool_name="weather"
    )
    constraint = prepared.token_request.constraint
    assert constraint is not None
    assert constraint.kind == "grammar"
    assert '"\\"weather\\""' in constraint.source
    assert "clock" not in constraint.source
    assert "clock" not in bytes(prepared.token_request.prompt).decode()
    assert joined(answer(prepared, CALL))[2:] == ([MADE], "tool_calls")


def test_an_engine_that_cannot_be_held_to_a_call_refuses_it() -> None:
    with pytest.raises(InvalidRequest, match="cannot be held to calling") as caught:
        prepare(tools=[WEATHER], tool_choice="required")
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "tool_choice")
    with pytest.raises(InvalidRequest, match="does not go with another form"):
        prepare(
            kinds=["grammar"],
            tools=[WEATHER],
            tool_choice="required",
            constraint=Constraint("grammar", 'root ::= "a"'),
        )


SCHEMA = Constraint("json_schema", '{"type": "boolean"}', "response_format")
ALL = ["json_schema", "grammar", "structural_tag"]


def form(prepared: Prepared) -> dict[str, Any]:
    constraint = prepared.token_request.constraint
    assert constraint is not None
    assert constraint.kind == "structural_tag"
    told: dict[str, Any] = json.loads(constraint.source)["format"]
    return told


class Hybrid(ByteTokenizer):
    """A model that thinks unless its template has it that it has done so."""

    chat_template = TEMPLATE.partition("{% if enable_thinking %}")[0] + (
        "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    )


def test_a_constraint_begins_behind_thoughts_that_the_prompt_has_opened() -> None:
    prepared = prepare(kinds=ALL, constraint=SCHEMA, template_kwargs={"enable_thinking": True})
    assert bytes(prepared.token_request.prompt).endswith(b"<think>\n")
    thoughts, content = form(prepared)["elements"]
    assert (thoughts["elements"][0]["begin"], thoughts["elements"][0]["end"]) == ("", "</think>")
    assert content == {"type": "json_schema", "json_schema": {"type": "boolean"}}
    assert prepared.token_request.constraint is not None
    assert prepared.token_request.constraint.field == "response_format"
    assert joined(answer(prepared, "Hm.</think>\n\ntrue")) == ("Hm.", "true", [], "stop")


def test_thoughts_that_the_prompt_has_not_opened_may_be_left_out() -> None:
    prepared = prepare(Hybrid(), kinds=ALL, constraint=SCHEMA)
    thoughts = form(prepared)["elements"][0]
    assert thoughts["type"] == "optional"
    assert thoughts["content"]["elements"][0]["begin"] == "<think>"
    again = prepare(Hybrid(), kinds=ALL, constraint=SCHEMA)
    assert joined(answer(prepared, "<think>Hm.</think>true")) == ("Hm.", "true", [], "stop")
    assert joined(answer(again, "true")) == ("", "true", [], "stop")


@pytest.mark.parametrize("tokenizer", [Model(), Hybrid()])
def test_where_thinking_is_switched_off_all_of_the_answer_is_held_to_a_constraint(
    tokenizer: ByteTokenizer,
) -> None:
    kwargs = {"enable_thinking": False}
    prepared = prepare(tokenizer, kinds=ALL, constraint=SCHEMA, template_kwargs=kwargs)
    assert prepared.token_request.constraint == SCHEMA


@pytest.mark.parametrize("kinds", [["json_schema"], ALL])
def test_thinking_is_switched_off_where_it_cannot_be_told_apart(kinds: list[str]) -> None:
    spec = ModelSpec(
        name="model",
        template_kwargs={"enable_thinking": True},
        reasoning_content="structural_tag" not in kinds,
    )
    prepared = prepare(spec=spec, kinds=kinds, constraint=SCHEMA)
    assert prepared.token_request.constraint == SCHEMA
    assert b"<think>" not in bytes(prepared.token_request.prompt)


def test_a_constraint_that_is_none_is_left_for_the_engine_to_refuse() -> None:
    broken = Constraint("json_schema", "{", "response_format")
    kwargs = {"enable_thinking": True}
    prepared = prepare(kinds=ALL, constraint=broken, template_kwargs=kwargs)
    assert prepared.token_request.constraint == broken


@pytest.mark.parametrize(
    ("choice", "parallel", "calls"),
    [("required", True, 16), ("required", False, 1), ("named", True, 1)],
)
def test_a_call_is_forced_in_the_models_own_form_behind_its_thoughts(
    choice: str, parallel: bool, calls: int
) -> None:
    prepared = prepare(
        kinds=ALL,
        tools=[WEATHER, CLOCK],
        tool_choice=choice,
        tool_name="clock",
        parallel_tool_calls=parallel,
        template_kwargs={"enable_thinking": True},
    )
    _, content = form(prepared)["elements"]
    one = content if calls == 1 else content["elements"][0]
    names = [each["elements"][1]["elements"][0]["value"] for each in one["elements"]]
    assert [json.loads(name + "0}")["name"] for name in names] == (
        ["clock"] if choice == "named" else ["weather", "clock"]
    )
    if calls > 1:
        assert content["elements"][1]["max"] == calls - 1
    made = answer(prepared, f"Hm.</think>\n{CALL}")
    assert joined(made) == ("Hm.", "", [MADE], "tool_calls")


def test_an_answer_of_a_form_may_be_a_call_instead_where_both_are_asked_for() -> None:
    asked: dict[str, Any] = {"kinds": ALL, "tools": [WEATHER], "constraint": SCHEMA}
    asked["template_kwargs"] = {"enable_thinking": False}
    prepared = prepare(**asked)
    assert [each["type"] for each in form(prepared)["elements"]] == ["json_schema", "sequence"]
    assert joined(answer(prepared, CALL)) == ("", "", [MADE], "tool_calls")
    assert joined(answer(prepare(**asked), "true")) == ("", "true", [], "stop")


def test_strict_functions_are_called_by_their_schema_wherever_a_call_begins() -> None:
    strict = {"type": "function", "function": {**WEATHER["function"], "strict": True}}
    off = {"template_kwargs": {"enable_thinking": False}}
    told = form(prepare(kinds=ALL, tools=[strict, CLOCK], **off))
    assert (told["type"], told["triggers"]) == ("triggered_tags", ["<tool_call>"])
    assert prepare(kinds=ALL, tools=[WEATHER], **off).token_request.constraint is None
    assert prepare(kinds=["grammar"], tools=[strict], **off).token_request.constraint is None


def test_effort_is_told_in_the_words_of_the_template() -> None:
    class Effort(ByteTokenizer):
        chat_template = "{{ reasoning_effort }}"

    assert bytes(prepare(Effort(), reasoning_effort="high").token_request.prompt) == b"high"
    thinks = prepare(reasoning_effort="low").token_request.prompt
    assert bytes(thinks).endswith(b"<think>\n")
    assert b"think" not in bytes(prepare(reasoning_effort="none").token_request.prompt)
    assert prepare(Plain(), reasoning_effort="none")
    with pytest.raises(InvalidRequest, match="does not think") as caught:
        prepare(Plain(), reasoning_effort="high")
    assert (caught.value.code, caught.value.param) == ("unsupported_parameter", "reasoning_effort")


def test_thoughts_are_told_apart_by_the_tags_that_are_given() -> None:
    spec = ModelSpec(name="model", reasoning_tags=("<hm>", "</hm>"))
    made = answer(prepare(Plain(), spec=spec), "<hm>So.</hm>Yes.")
    assert joined(made) == ("So.", "Yes.", [], "stop")


def test_a_launch_says_how_a_model_thinks_and_calls() -> None:
    spec = ModelSpec(
        name="model",
        template_kwargs={"enable_thinking": True},
        tool_call_parser="mistral",
        reasoning_content=False,
    )
    prepared = prepare(spec=spec, tools=[WEATHER])
    assert bytes(prepared.token_request.prompt).endswith(b"<think>\n")
    made = answer(prepared, 'Hm.</think>[TOOL_CALLS]weather{"city": "東京"}')
    assert joined(made) == ("", "Hm.</think>", [MADE], "tool_calls")
