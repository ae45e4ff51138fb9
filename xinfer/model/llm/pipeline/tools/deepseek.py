"""DeepSeek V3, R1, and V3.1, whose form is shorter."""

from __future__ import annotations

from xinfer.model.llm.pipeline.tools.calls import BrokenCall, Functions, make_call, read_json
from xinfer.model.llm.pipeline.tools.ends import MarkerEnd
from xinfer.model.llm.pipeline.tools.parser import MarkedParser
from xinfer.types.event import ToolCall

_END = "<｜tool▁calls▁end｜>"
_CALL, _CALL_END = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
_SEPARATOR = "<｜tool▁sep｜>"
_FENCE = "```"


class DeepSeekParser(MarkedParser):
    """Calls between two markers, each of them between two others."""

    begin = "<｜tool▁calls▁begin｜>"
    markers = (begin, _END, _CALL, _CALL_END, _SEPARATOR)

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
