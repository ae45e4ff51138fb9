"""DeepSeek V3, R1, and V3.1, whose form is shorter."""

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
from xinfer.model.llm.pipeline.tools.calls import BrokenCall, Functions, make_call, read_json
from xinfer.model.llm.pipeline.tools.ends import MarkerEnd
from xinfer.model.llm.pipeline.tools.parser import MOST_CALLS, MarkedParser
from xinfer.types.event import ToolCall

_END = "<｜tool▁calls▁end｜>"
_CALL, _CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
_SEPARATOR = "<｜tool▁sep｜>"
_FENCE = "```"


class DeepSeekParser(MarkedParser):
    """Calls between two markers, each of them between two others."""

    begin = "<｜tool▁calls▁begin｜>"
    opening = re.compile(
        rf"(?:{begin}|(?:\s*{_FENCE})?\s*{_CALL_END})\s*{_CALL}"
        rf"(?:[^<\n]{{0,32}}{_SEPARATOR}(?P<fenced>[^<\n]{{1,256}})\n{_FENCE}(?:json)?"
        rf"|(?P<plain>[^<\n]{{1,256}}){_SEPARATOR})\s*(?=\{{)"
    )
    markers = (begin, _END, _CALL, _CALL_END, _SEPARATOR)

    @classmethod
    def form(cls, functions: Functions, most: int, template: str) -> Node:
        return sequence(exactly(cls.begin), _calls(functions, most, template))

    @classmethod
    def behind(cls, functions: Functions, name: str, template: str) -> Node:
        return sequence(_call_form(functions, name, template), exactly(_END))

    @classmethod
    def anywhere(cls, functions: Functions, template: str) -> Node:
        return where_it_begins(cls.begin, _calls(functions, MOST_CALLS, template))

    def __init__(self, functions: Functions) -> None:
        super().__init__(functions)
        self._last = MarkerEnd(_END)

    def _end(self, text: str) -> int | None:
        return self._last.find(text)

    def _parse(self, block: str) -> list[ToolCall]:
        self._last = MarkerEnd(_END)
        before, *pieces = block[len(self.begin) :].removesuffix(_END).split(_CALL)
        if before.strip() or not pieces:
            raise BrokenCall
        return [_call(piece) for piece in pieces]


def _call(piece: str) -> ToolCall:
    body, end, after = piece.partition(_CALL_END)
    if not end or after.strip():
        raise BrokenCall
    name, separator, arguments = body.partition(_SEPARATOR)
    if not separator:
        raise BrokenCall
    if _FENCE in arguments:  # V3 and R1: the kind of tool, the name in a line, JSON in a fence
        name, _, fenced = arguments.partition("\n")
        arguments = fenced.strip().removeprefix(_FENCE).removeprefix("json").removesuffix(_FENCE)
    return make_call(name.strip(), read_json(arguments))


def _calls(functions: Functions, most: int, template: str) -> Node:
    one = either([_call_form(functions, name, template) for name in functions.names])
    return sequence(several(one, "\n" if _fenced(template) else "", most), exactly(_END))


def _call_form(functions: Functions, name: str, template: str) -> Node:
    arguments = valid(functions.schema(name))
    body = [exactly(name), exactly(_SEPARATOR), arguments]
    if _fenced(template):
        head, fence = exactly(f"{name}\n{_FENCE}json\n"), exactly(f"\n{_FENCE}")
        body = [exactly("function"), exactly(_SEPARATOR), head, arguments, fence]
    return sequence(exactly(_CALL), *body, exactly(_CALL_END))


def _fenced(template: str) -> bool:
    """Whether the model is V3 or R1."""
    return f"{_FENCE}json" in template
