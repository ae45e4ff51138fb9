"""Mistral: `[TOOL_CALLS][{"name": "f", "arguments": {…}}]`, later `[TOOL_CALLS]f[ARGS]{…}`."""

from __future__ import annotations

import re

from xinfer.model.llm.pipeline.forms import (
    Node,
    either,
    exactly,
    sequence,
    several,
    valid,
    where_it_begins,
)
from xinfer.model.llm.pipeline.tools.calls import (
    NAMED,
    BrokenCall,
    Functions,
    call_of,
    make_call,
    quoted,
    read_json,
)
from xinfer.model.llm.pipeline.tools.ends import BracketEnd
from xinfer.model.llm.pipeline.tools.parser import MOST_CALLS, MarkedParser
from xinfer.types.event import ToolCall

_ARGUMENTS, _ID = "[ARGS]", "[CALL_ID]"


class MistralParser(MarkedParser):
    """A list of calls, or one call by name."""

    begin = "[TOOL_CALLS]"
    opening = re.compile(
        rf"(?:\[TOOL_CALLS\]\s*\[|\s*\}}\s*,)\s*{NAMED.replace('name>', 'listed>')}"
        r"|\[TOOL_CALLS\]\s*(?P<plain>[^\[\]{}\s]{1,256})(?:\[CALL_ID\][^\[\]{}]{0,64})?"
        r"(?:\[ARGS\])?\s*(?=\{)"
    )
    markers = (begin, _ARGUMENTS, _ID)

    @classmethod
    def form(cls, functions: Functions, most: int, template: str) -> Node | None:
        if _ARGUMENTS in template:
            return super().form(functions, most, template)
        listed = either([_listed(functions, name) for name in functions.names])
        return sequence(exactly(cls.begin), exactly("["), several(listed, ", ", most), exactly("]"))

    @classmethod
    def behind(cls, functions: Functions, name: str, template: str) -> Node:
        if _ARGUMENTS in template:
            return sequence(exactly(name), exactly(_ARGUMENTS), valid(functions.schema(name)))
        return sequence(exactly("["), _listed(functions, name), exactly("]"))

    @classmethod
    def anywhere(cls, functions: Functions, template: str) -> Node | None:
        if _ARGUMENTS in template:
            return super().anywhere(functions, template)
        listed = either([_listed(functions, name) for name in functions.names])
        many = several(listed, ", ", MOST_CALLS)
        return where_it_begins(cls.begin, sequence(exactly("["), many, exactly("]")))

    def __init__(self, functions: Functions) -> None:
        super().__init__(functions)
        self._json: BracketEnd | None = None

    def _end(self, text: str) -> int | None:
        if self._json is None:
            start = self._json_start(text)
            if start is None:
                return None
            self._json = BracketEnd(start)
        return self._json.find(text)

    def _json_start(self, text: str) -> int | None:
        after = len(self.begin)
        body = text[after:].lstrip()
        if body.startswith("["):
            return len(text) - len(body)
        start = text.find("{", after)
        return start if start >= 0 else None

    def _parse(self, block: str) -> list[ToolCall]:
        self._json = None
        body = block[len(self.begin) :].strip()
        if body.startswith("["):
            value = read_json(body)
            if not isinstance(value, list):
                raise BrokenCall
            return [call_of(one) for one in value]
        name, brace, rest = body.partition("{")
        name = name.strip().removesuffix(_ARGUMENTS).partition(_ID)[0]
        return [make_call(name.strip(), read_json(brace + rest))]


def _listed(functions: Functions, name: str) -> Node:
    head = f'{{"name": {quoted(name)}, "arguments": '
    return sequence(exactly(head), valid(functions.schema(name)), exactly("}"))
