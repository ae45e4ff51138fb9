"""Forms that name each argument in a tag of its own: Qwen3-Coder's, and that of GLM from 4.5 on."""

from __future__ import annotations

import re
from typing import ClassVar

from xinfer.model.llm.pipeline.tools.calls import BrokenCall, Functions, make_call
from xinfer.model.llm.pipeline.tools.ends import MarkerEnd
from xinfer.model.llm.pipeline.tools.parser import MarkedParser
from xinfer.types.event import ToolCall

_END = "</tool_call>"


class _TaggedParser(MarkedParser):
    begin = "<tool_call>"
    argument: ClassVar[re.Pattern[str]]
    """With the groups `name` and `value`."""

    def __init__(self, functions: Functions) -> None:
        super().__init__(functions)
        self._tag = MarkerEnd(_END)

    def _end(self, text: str) -> int | None:
        return self._tag.find(text)

    def _body(self, block: str) -> str:
        self._tag = MarkerEnd(_END)
        if not block.endswith(_END):
            raise BrokenCall
        return block[len(self.begin) : -len(_END)]

    def _call(self, name: str, body: str) -> list[ToolCall]:
        if self.argument.sub("", body).strip():
            raise BrokenCall
        value = self._functions.value
        arguments = {
            found["name"]: value(name, found["name"], found["value"])
            for found in self.argument.finditer(body)
        }
        return [make_call(name, arguments)]


class Qwen3CoderParser(_TaggedParser):
    """`<tool_call><function=f><parameter=a>…</parameter></function></tool_call>`."""

    markers = ("<tool_call>", _END)
    argument = re.compile(
        r"<parameter=(?P<name>[^>\n]+)>\n?(?P<value>(?:(?!</parameter>).)*?)\n?</parameter>",
        re.DOTALL,
    )
    _function = re.compile(r"\s*<function=(?P<name>[^>\n]+)>(?P<body>.*)</function>\s*", re.DOTALL)

    def _parse(self, block: str) -> list[ToolCall]:
        found = self._function.fullmatch(self._body(block))
        if found is None:
            raise BrokenCall
        return self._call(found["name"], found["body"])


class Glm45Parser(_TaggedParser):
    """`<tool_call>f<arg_key>a</arg_key><arg_value>…</arg_value></tool_call>`."""

    markers = (
        "<tool_call>",
        _END,
        "<arg_key>",
        "</arg_key>",
        "<arg_value>",
        "</arg_value>",
    )
    argument = re.compile(
        r"<arg_key>(?P<name>[^<]+)</arg_key>\s*"
        r"<arg_value>(?P<value>(?:(?!</arg_value>).)*)</arg_value>",
        re.DOTALL,
    )

    def _parse(self, block: str) -> list[ToolCall]:
        body = self._body(block)
        name = body.partition("<arg_key>")[0]
        return self._call(name.strip(), body[len(name) :])
