"""A call that the model has to make: what its output is held to, and read by."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.llm.pipeline.forms import Node, exactly, sequence, valid
from xinfer.model.llm.pipeline.tools.calls import (
    NAMED,
    BrokenCall,
    Functions,
    call_of,
    local_references,
    quoted,
    read_json,
)
from xinfer.model.llm.pipeline.tools.ends import BracketEnd
from xinfer.model.llm.pipeline.tools.hermes import HermesParser
from xinfer.model.llm.pipeline.tools.parser import LeadingParser, ToolParser
from xinfer.types.event import ToolCall
from xinfer.types.request import Constraint

_ROOT_RULE = r"""
root ::= "<tool_call>\n{\"name\": " name ", \"arguments\": " object "}\n</tool_call>"
"""
_JSON_RULES = r"""
object ::= "{" ws (pair (ws "," ws pair)*)? ws "}"
pair ::= string ws ":" ws value
array ::= "[" ws (value (ws "," ws value)*)? ws "]"
value ::= object | array | string | number | "true" | "false" | "null"
string ::= "\"" ([^"\\\x00-\x1f] | "\\" (["\\/bfnrt] | "u" hex hex hex hex))* "\""
hex ::= [0-9a-fA-F]
number ::= "-"? ("0" | [1-9] [0-9]{0,15}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?
ws ::= [ \n]?
"""


class BareJsonParser(LeadingParser):
    """`{"name": "f", "arguments": {…}}` and nothing else."""

    opening = re.compile(NAMED)

    @classmethod
    def one(cls, functions: Functions, name: str, template: str) -> Node:
        head = f'{{"name": {quoted(name)}, "arguments": '
        return sequence(exactly(head), valid(functions.schema(name)), exactly("}"))

    def __init__(self, functions: Functions) -> None:
        super().__init__(functions)
        self._json = BracketEnd()

    def _may_begin(self, text: str) -> bool | None:
        return text.startswith("{")

    def _end(self, text: str) -> int | None:
        return self._json.find(text)

    def _parse(self, block: str) -> list[ToolCall]:
        self._json = BracketEnd()
        call = call_of(read_json(block))
        if call.name not in self._functions:
            raise BrokenCall
        return [call]


def force_call(functions: Functions, kinds: Collection[str]) -> tuple[Constraint, type[ToolParser]]:
    """What makes a model call one of the functions, in a form that need not be its own.

    With a schema, the arguments are what the function's schema says; with a grammar they are an
    object.

    Args:
        kinds: of constraints that the engine enforces.

    Raises:
        InvalidRequest: it enforces none that would do.
    """
    if "json_schema" in kinds:
        schema = json.dumps(_schema(functions))
        return Constraint("json_schema", schema, "tool_choice"), BareJsonParser
    if "grammar" in kinds:
        return Constraint("grammar", _grammar(functions), "tool_choice"), HermesParser
    raise InvalidRequest(
        "The engine of this model cannot be held to calling a function. Send tool_choice auto, or "
        "launch the model on another engine.",
        code="unsupported_parameter",
        param="tool_choice",
    )


def _schema(functions: Functions) -> dict[str, Any]:
    definitions: dict[str, Any] = {}
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"const": name},
                "arguments": _arguments(functions.schema(name), definitions),
            },
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name in functions.names
    ]
    schema: dict[str, Any] = calls[0] if len(calls) == 1 else {"anyOf": calls}
    return {**schema, "$defs": definitions} if definitions else schema


def _arguments(parameters: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A function's schema as a part of one of several; what refers to itself moves to
    `definitions`, whole."""
    if not any(local_references(parameters)):
        return parameters
    key = f"f{len(definitions)}"
    root = f"#/$defs/{key}"
    definitions[key] = _moved(parameters, root)
    return {"$ref": root}


def _moved(schema: Any, root: str) -> Any:
    """With references that follow the schema to its new place."""
    if isinstance(schema, list):
        return [_moved(one, root) for one in schema]
    if not isinstance(schema, Mapping):
        return schema
    moved = {key: _moved(value, root) for key, value in schema.items()}
    reference = moved.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = root + reference[1:]
    return moved


def _grammar(functions: Functions) -> str:
    names = " | ".join(json.dumps(json.dumps(name)) for name in functions.names)
    return f"{_ROOT_RULE}name ::= {names}{_JSON_RULES}"
