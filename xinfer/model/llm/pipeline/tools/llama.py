"""Llama: `{"name": "f", "parameters": {…}}`."""

from __future__ import annotations

import re

from xinfer.model.llm.pipeline.forms import Node, exactly, sequence, valid
from xinfer.model.llm.pipeline.tools.calls import (
    NAMED,
    BrokenCall,
    Functions,
    call_of,
    quoted,
    read_json,
)
from xinfer.model.llm.pipeline.tools.ends import BracketEnd
from xinfer.model.llm.pipeline.tools.parser import LeadingParser
from xinfer.types.event import ToolCall

_TAG = "<|python_tag|>"
_KEYS = ("name", "type", "function", "parameters", "arguments")
_JSON = re.compile(r'\{\s*(?:"(?P<key>[^"]*)(?P<end>"?))?')


class LlamaJsonParser(LeadingParser):
    """`{"name": "f", "parameters": {…}}`, several with semicolons between them."""

    markers = (_TAG,)
    between = "; \t\r\n"
    separator = "; "
    opening = re.compile(rf"(?:{re.escape(_TAG)})?\s*{NAMED}")

    @classmethod
    def one(cls, functions: Functions, name: str, template: str) -> Node:
        head = f'{{"name": {quoted(name)}, "parameters": '
        return sequence(exactly(head), valid(functions.schema(name)), exactly("}"))

    def __init__(self, functions: Functions) -> None:
        super().__init__(functions)
        self._json = BracketEnd()

    def _may_begin(self, text: str) -> bool | None:
        if text.startswith(_TAG):
            return True
        if _TAG.startswith(text):
            return None
        found = _JSON.match(text)
        if found is None:
            return False
        if found["end"]:
            return found["key"] in _KEYS
        if found.end() < len(text):
            return False
        key = found["key"] or ""
        return None if any(one.startswith(key) for one in _KEYS) else False

    def _end(self, text: str) -> int | None:
        return self._json.find(text)

    def _parse(self, block: str) -> list[ToolCall]:
        self._json = BracketEnd()
        call = call_of(read_json(block.removeprefix(_TAG)))
        if call.name not in self._functions:
            raise BrokenCall
        return [call]
