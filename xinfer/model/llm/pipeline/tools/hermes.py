"""Hermes and Qwen: `<tool_call>{"name": "f", "arguments": {…}}</tool_call>`."""

from __future__ import annotations

import re

from xinfer.model.llm.pipeline.forms import Node, exactly, sequence, valid
from xinfer.model.llm.pipeline.tools.calls import NAMED, Functions, call_of, quoted, read_json
from xinfer.model.llm.pipeline.tools.ends import BracketEnd, MarkerEnd
from xinfer.model.llm.pipeline.tools.parser import MarkedParser
from xinfer.types.event import ToolCall

_END = "</tool_call>"


class HermesParser(MarkedParser):
    """JSON between two tags. The second one may stand in a string of the JSON."""

    begin = "<tool_call>"
    markers = ("<tool_call>", _END)
    separator = "\n"
    opening = re.compile(rf"<tool_call>\s*{NAMED}")

    @classmethod
    def behind(cls, functions: Functions, name: str, template: str) -> Node:
        head = f'\n{{"name": {quoted(name)}, "arguments": '
        return sequence(exactly(head), valid(functions.schema(name)), exactly("}\n"), exactly(_END))

    def __init__(self, functions: Functions) -> None:
        super().__init__(functions)
        self._reset()

    def _reset(self) -> None:
        self._json, self._tag = BracketEnd(), MarkerEnd(_END)

    def _end(self, text: str) -> int | None:
        while (end := self._tag.find(text)) is not None:
            self._json.find(text, end - len(_END))
            if not self._json.in_string:
                return end
            self._tag = MarkerEnd(_END, end)
        return None

    def _parse(self, block: str) -> list[ToolCall]:
        self._reset()
        return [call_of(read_json(block[len(self.begin) :].removesuffix(_END)))]
