"""Calls that are enforced in a form are read back by the form's parser, and are what was asked."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest

from tests.support.pieces import PieceTokenizer
from xinfer.model.llm.constraint.compiler import ConstraintCompiler
from xinfer.model.llm.pipeline.detokenizer import Detokenizer
from xinfer.model.llm.pipeline.forms import constraint_of
from xinfer.model.llm.pipeline.tools import PARSERS, Functions
from xinfer.model.llm.pipeline.tools.parser import MarkedParser
from xinfer.types.event import ToolCall

END = 256
CONTROL = ("<tool_call>", "[TOOL_CALLS]", "[ARGS]", "<｜tool▁calls▁begin｜>", "</tool_call>")
FENCED = "```json"
TEXT = {"type": "string", "maxLength": 6}


def function(name: str, strict: bool = False, **properties: Any) -> dict[str, Any]:
    required = [key for key, value in properties.items() if value.pop("needed", True)]
    parameters = {"type": "object", "properties": properties, "required": required}
    return {"function": {"name": name, "parameters": parameters, "strict": strict}}


def plain() -> list[dict[str, Any]]:
    """Functions that every form can tell the arguments of."""
    return [
        function(
            "get_weather",
            unit={"enum": ["C", "F"], "type": "string"},
            days={"type": "integer", "minimum": 0, "maximum": 9, "needed": False},
            near={"type": "boolean", "needed": False},
        ),
        function("get.time"),
        function("search", limit={"type": "integer", "minimum": 5, "maximum": 15}),
    ]


def nested() -> list[dict[str, Any]]:
    """A function whose argument is a list of objects that are defined elsewhere."""
    inner = {
        "type": "object",
        "properties": {"é": TEXT},
        "required": ["é"],
        "additionalProperties": False,
    }
    items = {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/inner"}}
    offered = function("nested", items=items)
    offered["function"]["parameters"]["$defs"] = {"inner": inner}
    return [offered]


class Walker(PieceTokenizer):
    """Bytes, an end, and control tokens."""

    def __init__(self) -> None:
        super().__init__([*(bytes([n]) for n in range(256)), b"", *[b"" for _ in CONTROL]], {END})

    def encode(self, text: str, *, special: bool) -> list[int]:
        if special and text in CONTROL:
            return [END + 1 + CONTROL.index(text)]
        return super().encode(text, special=special)

    def spelled(self, token: int) -> bytes:
        return CONTROL[token - END - 1].encode() if token > END else bytes([token])


@pytest.fixture(scope="module")
def compiler() -> ConstraintCompiler:
    return ConstraintCompiler(Walker())


def walk(compiler: ConstraintCompiler, form: Any, seed: int) -> str:
    """An output of this form, chosen at random; the ends of what has begun are likelier."""
    rng, tokens = random.Random(seed), Walker()
    matcher = compiler.matcher(constraint_of(form, "tool_choice"))
    output = b""
    while len(output) < 4000:
        allowed = matcher.mask().nonzero()[0].tolist()
        closing = [token for token in allowed if token >= END or chr(token) in '"}])<\n']
        token = rng.choice(closing if closing and rng.random() < 0.5 else allowed)
        if token == END:
            return output.decode(errors="replace")
        matcher.accept(token)
        output += tokens.spelled(token)
    raise AssertionError(f"no end: {output[-200:]!r}")


def read(parser: str, functions: Functions, output: str) -> tuple[str, list[ToolCall]]:
    made, detokenizer = PARSERS[parser](functions), Detokenizer()
    first = made.feed(detokenizer.feed(output.encode()) + detokenizer.flush())
    rest = made.finish()
    return first.text + rest.text, [*first.calls, *rest.calls]


WAYS = [
    ("hermes", ""),
    ("llama3_json", ""),
    ("mistral", ""),
    ("mistral", "[ARGS]"),
    ("deepseek_v3", ""),
    ("deepseek_v3", FENCED),
    ("glm4", ""),
    ("glm45", ""),
    ("qwen3_coder", ""),
    ("pythonic", ""),
]


@pytest.mark.parametrize(("parser", "template"), WAYS)
@pytest.mark.parametrize("most", [1, 3])
def test_calls_of_a_form_are_read_back_and_valid(
    compiler: ConstraintCompiler, parser: str, template: str, most: int
) -> None:
    offered = plain()
    functions = Functions(offered)
    schemas = {each["function"]["name"]: each["function"]["parameters"] for each in offered}
    form = PARSERS[parser].form(functions, most, template)
    assert form is not None
    counts = set()
    for seed in range(25):
        output = walk(compiler, form, seed)
        text, calls = read(parser, functions, output)
        assert text == "", output
        assert 1 <= len(calls) <= most, output
        counts.add(len(calls))
        for call in calls:
            jsonschema.validate(json.loads(call.arguments), schemas[call.name])
            assert set(json.loads(call.arguments)) <= set(schemas[call.name]["properties"])
    assert most == 1 or len(counts) > 1


@pytest.mark.parametrize(("parser", "template"), [way for way in WAYS if way[0] != "pythonic"])
def test_arguments_may_be_nested_and_refer_to_definitions(
    compiler: ConstraintCompiler, parser: str, template: str
) -> None:
    offered = nested()
    functions = Functions(offered)
    form = PARSERS[parser].form(functions, 1, template)
    assert form is not None
    for seed in range(10):
        text, [call] = read(parser, functions, output := walk(compiler, form, seed))
        assert text == "", output
        jsonschema.validate(json.loads(call.arguments), offered[0]["function"]["parameters"])


def test_a_form_that_cannot_tell_the_arguments_is_none() -> None:
    pattern = Functions([function("f", a={"type": "string", "pattern": "^a+$"})])
    assert PARSERS["qwen3_coder"].form(pattern, 1, "") is None
    assert PARSERS["glm45"].form(pattern, 1, "") is None
    assert PARSERS["pythonic"].form(pattern, 1, "") is None
    assert PARSERS["hermes"].form(pattern, 1, "") is not None
    assert PARSERS["pythonic"].form(Functions(nested()), 1, "") is None
    itself = Functions([function("f", a={"$ref": "#/properties/b"}, b={"type": "integer"})])
    assert PARSERS["qwen3_coder"].form(itself, 1, "") is None
    assert PARSERS["glm45"].form(itself, 1, "") is None
    assert PARSERS["hermes"].form(itself, 1, "") is not None


@pytest.mark.parametrize(("parser", "template"), [way for way in WAYS if way[0] in (
    "hermes", "mistral", "deepseek_v3", "qwen3_coder", "glm45")])  # fmt: skip
def test_calls_of_strict_functions_are_valid_wherever_they_begin(
    compiler: ConstraintCompiler, parser: str, template: str
) -> None:
    offered = [function("strict", True, n={"type": "integer", "minimum": 3, "maximum": 7})]
    offered += [function("loose", n={"type": "integer"})]
    functions = Functions(offered)
    kind = PARSERS[parser]
    assert issubclass(kind, MarkedParser)
    form = kind.anywhere(functions.loosely(), template)
    constraint = constraint_of(form, "tools")  # type: ignore[arg-type]
    assert functions.any_strict
    strict, _ = (kind.form(Functions([one]), 1, template) for one in offered)
    call = walk(compiler, strict, 1)

    def taken(output: str) -> bool:
        tokens, rest = [], output
        matcher = compiler.matcher(constraint)
        while rest:
            control = next((c for c in CONTROL if rest.startswith(c)), None)
            tokens += Walker().encode(control or rest[0], special=True)
            rest = rest[len(control or rest[0]) :]
        for token in tokens:
            if not matcher.allows(token):
                return False
            matcher.accept(token)
        return matcher.complete

    assert taken("Just text. {")
    assert taken(f"Let me see. {call}")
    number = next(char for char in call if char in "34567" and char != "▁")
    assert not taken(f"Let me see. {call.replace(number, '8')}")
