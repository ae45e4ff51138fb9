"""GLM-4: the function's name in a line, then its arguments."""

from __future__ import annotations

import re

from xinfer.model.llm.pipeline.forms import Node, exactly, sequence, valid
from xinfer.model.llm.pipeline.tools.calls import Functions, make_call, read_json
from xinfer.model.llm.pipeline.tools.ends import BracketEnd
from xinfer.model.llm.pipeline.tools.parser import LeadingParser
from xinfer.types.event import ToolCall


class Glm4Parser(LeadingParser):
    """Only what begins with the name of a function of the request is a call."""

    separator = "\n"
    opening = re.compile(r"(?P<name>[^\n]{1,256})\n\s*(?=\{)")

    @classmethod
    def one(cls, functions: Functions, name: str, template: str) -> Node:
        return sequence(exactly(f"{name}\n"), valid(functions.schema(name)))

    def __init__(self, functions: Functions) -> None:
        super().__init__(functions)
        self._json = BracketEnd()

    def _may_begin(self, text: str) -> bool | None:
        name, newline, rest = text.partition("\n")
        if not newline:
            return None if any(one.startswith(name) for one in self._functions.names) else False
        if name not in self._functions:
            return False
        rest = rest.lstrip()
        return rest.startswith("{") if rest else None

    def _end(self, text: str) -> int | None:
        return self._json.find(text)

    def _parse(self, block: str) -> list[ToolCall]:
        self._json = BracketEnd()
        name, _, arguments = block.partition("\n")
        return [make_call(name, read_json(arguments))]
