"""Forms that name each argument in a tag of its own: Qwen3-Coder's, and that of GLM from 4.5 on."""

from __future__ import annotations

import re
from abc import abstractmethod
from typing import Any, ClassVar

from xinfer.model.llm.pipeline.forms import (
    Node,
    between,
    either,
    exactly,
    optional,
    sequence,
    valid,
)
from xinfer.model.llm.pipeline.tools.calls import (
    DEFINITIONS,
    SAID_ONE_BY_ONE,
    SAYS_NOTHING,
    BrokenCall,
    Functions,
    local_references,
    make_call,
)
from xinfer.model.llm.pipeline.tools.ends import MarkerEnd
from xinfer.model.llm.pipeline.tools.growth import Growth, TaggedGrowth
from xinfer.model.llm.pipeline.tools.parser import MarkedParser
from xinfer.types.event import ToolCall

_END = "</tool_call>"
_IN_DEFINITIONS = re.compile(rf"#/(?:{'|'.join(map(re.escape, DEFINITIONS))})/")


class _TaggedParser(MarkedParser):
    begin = "<tool_call>"
    separator = "\n"
    argument: ClassVar[re.Pattern[str]]
    """With the groups `name` and `value`."""
    before: ClassVar[tuple[str, ...]]
    """What stands before the function's name."""
    after: ClassVar[tuple[str, ...]]
    """What stands behind its arguments."""

    @classmethod
    def behind(cls, functions: Functions, name: str, template: str) -> Node | None:
        schema = functions.schema(name)
        properties, required = schema.get("properties", {}), schema.get("required", ())
        if not SAID_ONE_BY_ONE.issuperset(schema) or set(required) - set(properties):
            return None
        definitions = {key: schema[key] for key in DEFINITIONS if key in schema}
        if not all(map(_IN_DEFINITIONS.match, local_references(schema))):
            return None  # to what is not there in the schema of one argument
        parts = [*map(exactly, cls.before), *cls.named(name)]
        for key, value in properties.items():
            told = cls.told(key, value, definitions)
            if told is None:
                return None
            parts.append(told if key in required else optional(told))
        return sequence(*parts, *map(exactly, cls.after))

    @classmethod
    @abstractmethod
    def named(cls, name: str) -> list[Node]:
        """The function's name."""

    @classmethod
    @abstractmethod
    def told(cls, key: str, schema: Any, definitions: dict[str, Any]) -> Node | None:
        """An argument of this schema; None: its form cannot be told."""

    first: ClassVar[re.Pattern[str]]
    """What stands before the first argument, with the function's `name` as a group."""
    closing: ClassVar[str]
    """What an argument ends with."""

    def __init__(self, functions: Functions) -> None:
        super().__init__(functions)
        self._tag = MarkerEnd(_END)

    def _new_growth(self) -> Growth:
        return TaggedGrowth(self.first, self.argument, self.closing, _END, self._functions)

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
        arguments: dict[str, Any] = {}
        for found in self.argument.finditer(body):
            key = found["name"]
            if key not in arguments:
                arguments[key] = self._functions.value(name, key, found["value"])
        return [make_call(name, arguments)]


def _value(schema: Any, end: str, definitions: dict[str, Any]) -> Node | None:
    """A value without quotes, and the text behind it."""
    if not isinstance(schema, dict) or schema.get("type") != "string":
        told = {**schema, **definitions} if isinstance(schema, dict) and definitions else schema
        return sequence(valid(told), exactly(end))
    rest = schema.keys() - SAYS_NOTHING - {"type"}
    choices = [schema["const"]] if "const" in rest else schema.get("enum")
    if choices is not None and not rest - {"enum", "const"}:
        texts = [choice for choice in choices if isinstance(choice, str) and end not in choice]
        return sequence(either(list(map(exactly, texts))), exactly(end)) if texts else None
    return None if rest else between("", end)


class Qwen3CoderParser(_TaggedParser):
    """`<tool_call><function=f><parameter=a>…</parameter></function></tool_call>`."""

    markers = ("<tool_call>", _END)
    argument = re.compile(
        r"<parameter=(?P<name>[^>\n]+)>\n?(?P<value>(?:(?!</parameter>).)*?)\n?</parameter>",
        re.DOTALL,
    )
    before = ("\n",)
    after = ("</function>\n", _END)
    first = re.compile(r"<tool_call>\s*<function=(?P<name>[^>\n]{1,256})>")
    closing = "</parameter>"
    _function = re.compile(r"\s*<function=(?P<name>[^>\n]+)>(?P<body>.*)</function>\s*", re.DOTALL)

    @classmethod
    def named(cls, name: str) -> list[Node]:
        return [exactly(f"<function={name}>\n")]

    @classmethod
    def told(cls, key: str, schema: Any, definitions: dict[str, Any]) -> Node | None:
        value = _value(schema, "\n</parameter>\n", definitions)
        return None if value is None else sequence(exactly(f"<parameter={key}>\n"), value)

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

    first = re.compile(r"<tool_call>(?P<name>[^<]{1,256})(?=<)")
    closing = "</arg_value>"
    before = ()
    after = (_END,)

    @classmethod
    def named(cls, name: str) -> list[Node]:
        return [exactly(f"{name}\n")]

    @classmethod
    def told(cls, key: str, schema: Any, definitions: dict[str, Any]) -> Node | None:
        value = _value(schema, "</arg_value>", definitions)
        if value is None:
            return None
        head = [exactly("<arg_key>"), exactly(key), exactly("</arg_key>"), exactly("\n")]
        return sequence(*head, exactly("<arg_value>"), value, exactly("\n"))

    def _parse(self, block: str) -> list[ToolCall]:
        body = self._body(block)
        name = body.partition("<arg_key>")[0]
        if "<" in name:
            raise BrokenCall
        return self._call(name.strip(), body[len(name) :])
