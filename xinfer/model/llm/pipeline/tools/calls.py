"""Functions that a request offers, and calls of them as models write them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

from xinfer.types.event import ToolCall

_MORE = {
    "additionalProperties",
    "patternProperties",
    "unevaluatedProperties",
    "allOf",
    "anyOf",
    "oneOf",
    "if",
    "$ref",
}
"""What says of more arguments than `properties` does."""


DEFINITIONS = ("$defs", "definitions")
SAYS_NOTHING = {"title", "description", "default", "examples", "$comment"}
"""Of what a value is."""
SAID_ONE_BY_ONE = {
    "type",
    "properties",
    "required",
    "additionalProperties",
    "$schema",
    *DEFINITIONS,
    *SAYS_NOTHING,
}
"""What may stand in the schema of arguments that are told one by one."""


NAMED = (
    r'\{\s*(?:"(?:type|id)"\s*:\s*"[^"\\]{0,64}"\s*,\s*){0,2}"name"\s*:\s*'
    r'"(?P<name>[^"\\]{1,256})"\s*,\s*"(?:arguments|parameters)"\s*:\s*(?=\{)'
)
"""The beginning of a call in JSON, up to its arguments."""


class BrokenCall(ValueError):
    """What looked like a call is none. It stays text."""


class Functions:
    """The functions of one request.

    Args:
        tools: in OpenAI's shape, validated.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        functions = [tool["function"] for tool in tools]
        self._parameters = {each["name"]: each.get("parameters") or {} for each in functions}
        self._strict = {each["name"] for each in functions if each.get("strict")}

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    @property
    def names(self) -> list[str]:
        return list(self._parameters)

    def parameters(self, name: str) -> Mapping[str, Any]:
        """The JSON schema of a function's arguments; empty for one that is not offered."""
        return self._parameters.get(name, {})

    @property
    def any_strict(self) -> bool:
        """Whether the arguments of one of them have to follow its schema whenever it is called."""
        return bool(self._strict)

    def schema(self, name: str) -> dict[str, Any]:
        """What the arguments of a call are held to: an object, by the function's schema.

        Arguments that it does not name are excluded, unless it speaks of them: a model that may go
        on with names of its own does not find the end.
        """
        parameters = dict(self.parameters(name))
        if not parameters:
            return {"type": "object"}
        if "properties" in parameters and _MORE.isdisjoint(parameters):
            parameters["additionalProperties"] = False
        return parameters

    def loosely(self) -> Functions:
        """The same, where those that are not strict are called with any object."""
        loose = {
            name: parameters if name in self._strict else {}
            for name, parameters in self._parameters.items()
        }
        return Functions(
            [{"function": {"name": name, "parameters": each}} for name, each in loose.items()]
        )

    def value(self, name: str, parameter: str, text: str) -> Any:
        """An argument that a model wrote without quotes: text where the schema says so, else JSON
        if it is that."""
        properties = self.parameters(name).get("properties")
        schema = properties.get(parameter) if isinstance(properties, Mapping) else None
        kind = schema.get("type") if isinstance(schema, Mapping) else None
        if kind == "string":
            return text
        try:
            return read_json(text)
        except BrokenCall:
            return text


def local_references(schema: Any) -> Iterator[str]:
    """What a JSON schema refers to in itself: `#/$defs/a`, or `#` for all of it."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            reference = node.get("$ref")
            if isinstance(reference, str) and reference.startswith("#"):
                yield reference
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def quoted(name: str) -> str:
    """As JSON's text."""
    return json.dumps(name, ensure_ascii=False)


def read_json(text: str) -> Any:
    """Raises `BrokenCall` where it is not JSON, or goes too deep."""
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BrokenCall from error


def make_call(name: Any, arguments: Any) -> ToolCall:
    """A call, its arguments given as an object, as its JSON text, or as nothing.

    Raises:
        BrokenCall: they are something else, or cannot be told in JSON.
    """
    if isinstance(arguments, str):
        arguments = read_json(arguments) if arguments.strip() else {}
    if arguments is None:
        arguments = {}
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        raise BrokenCall
    try:
        text = json.dumps(arguments, ensure_ascii=False, allow_nan=False)
        (name + text).encode()  # half of a surrogate pair cannot be sent
    except (ValueError, TypeError, RecursionError) as error:
        raise BrokenCall from error
    return ToolCall(name, text)


def call_of(value: Any) -> ToolCall:
    """A call from `{"name": …, "arguments": …}`, or with `parameters` as Llama says.

    Raises:
        BrokenCall: it is not of that shape.
    """
    if not isinstance(value, dict):
        raise BrokenCall
    return make_call(value.get("name"), value.get("arguments", value.get("parameters")))


def _no_constant(constant: str) -> NoReturn:
    raise BrokenCall(constant)
