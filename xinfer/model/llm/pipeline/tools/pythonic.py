"""Calls as Python writes them, as Llama 3.2 and 4 do."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from xinfer.model.llm.pipeline.forms import (
    Node,
    either,
    exactly,
    matching,
    optional,
    sequence,
    valid,
)
from xinfer.model.llm.pipeline.tools.calls import (
    SAID_ONE_BY_ONE,
    SAYS_NOTHING,
    BrokenCall,
    Functions,
    make_call,
    quoted,
)
from xinfer.model.llm.pipeline.tools.ends import BracketEnd
from xinfer.model.llm.pipeline.tools.parser import LeadingParser
from xinfer.types.event import ToolCall

NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_PYTHON = re.compile(r"\[\s*(?P<name>[A-Za-z_][\w.]*)?(?P<bracket>\()?")
_MAX_PYTHON = 64 << 10
"""Characters of calls in Python that are looked at."""
_MOST_NAMED = 24
"""Arguments of a function whose calls can be enforced in this form."""
_STRING = r'"[^"\\\x00-\x1f]*"'
"""Escape sequences of Python and JSON differ: there are none."""
_BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}


class PythonicParser(LeadingParser):
    """`[f(a=1), g(b="x")]`, all values literals."""

    separator = ", "

    @classmethod
    def form(cls, functions: Functions, most: int, template: str) -> Node | None:
        calls = super().form(functions, most, template)
        return None if calls is None else sequence(exactly("["), calls, exactly("]"))

    @classmethod
    def one(cls, functions: Functions, name: str, template: str) -> Node | None:
        schema = functions.schema(name)
        properties, required = schema.get("properties", {}), schema.get("required", ())
        if not (NAME.fullmatch(name) and SAID_ONE_BY_ONE.issuperset(schema)):
            return None
        told = {key: _literal(value) for key, value in properties.items() if key.isidentifier()}
        values = {key: value for key, value in told.items() if value is not None}
        if (
            len(values) < len(properties)
            or len(values) > _MOST_NAMED
            or set(required) - set(values)
        ):
            return None
        return sequence(exactly(f"{name}("), _arguments(values, required), exactly(")"))

    def __init__(self, functions: Functions) -> None:
        super().__init__(functions)
        self._brackets = BracketEnd(python=True)

    def _may_begin(self, text: str) -> bool | None:
        found = _PYTHON.match(text)
        if found is None:
            return False
        name = found["name"] or ""
        if found["bracket"]:
            return name in self._functions
        if found.end() < len(text):
            return False
        return None if any(one.startswith(name) for one in self._functions.names) else False

    def _end(self, text: str) -> int | None:
        return self._brackets.find(text)

    def _parse(self, block: str) -> list[ToolCall]:
        self._brackets = BracketEnd(python=True)
        if len(block) > _MAX_PYTHON:
            raise BrokenCall
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of escapes that Python does not know
                tree = ast.parse(block.strip(), mode="eval").body
            if not isinstance(tree, ast.List):
                raise BrokenCall
            return [self._call(node) for node in tree.elts]
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as error:
            raise BrokenCall from error

    def _call(self, node: ast.expr) -> ToolCall:
        if not isinstance(node, ast.Call) or node.args:
            raise BrokenCall
        name = ast.unparse(node.func)
        if name not in self._functions:
            raise BrokenCall
        arguments = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise BrokenCall
            arguments[keyword.arg] = ast.literal_eval(keyword.value)
        return make_call(name, arguments)


def _arguments(values: Mapping[str, Node], required: Collection[str]) -> Node:
    """All that are required, in order, and any of the others."""
    names = list(values)
    pairs = {key: sequence(exactly(f"{key}="), value) for key, value in values.items()}
    ways: list[Node] = []
    for first, name in enumerate(names):
        rest = []
        for later in names[first + 1 :]:
            more = sequence(exactly(", "), pairs[later])
            rest.append(more if later in required else optional(more))
        ways.append(sequence(pairs[name], *rest))
        if name in required:
            return either(ways)
    return optional(either(ways)) if ways else exactly("")


def _literal(schema: Any) -> Node | None:
    """What Python calls a value of this schema; None: it cannot be told."""
    if not isinstance(schema, dict):
        return None
    kind, rest = schema.get("type"), schema.keys() - SAYS_NOTHING - {"type"}
    if rest == {"enum"} and all(isinstance(choice, str) for choice in schema["enum"]):
        plain = [choice for choice in schema["enum"] if quoted(choice) == f'"{choice}"']
        return either([exactly(quoted(choice)) for choice in plain]) if plain else None
    if kind in ("integer", "number") and rest <= _BOUNDS:
        return valid({key: schema[key] for key in rest | {"type"}})
    if rest:
        return None
    if kind == "string":
        return matching(_STRING)
    if kind == "boolean":
        return either([exactly("True"), exactly("False")])
    return exactly("None") if kind == "null" else None
