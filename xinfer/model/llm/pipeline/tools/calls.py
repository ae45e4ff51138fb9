"""Functions that a request offers, and calls of them as models write them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from xinfer.types.event import ToolCall


class BrokenCall(ValueError):
    """What looked like a call is none. It stays text."""


class Functions:
    """The functions of one request.

    Args:
        tools: in OpenAI's shape, validated.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        self._parameters = {
            tool["function"]["name"]: tool["function"].get("parameters") or {} for tool in tools
        }

    def __contains__(self, name: object) -> bool:
        return name in self._parameters

    @property
    def names(self) -> list[str]:
        return list(self._parameters)

    def parameters(self, name: str) -> Mapping[str, Any]:
        """The JSON schema of a function's arguments; empty for one that is not offered."""
        return self._parameters.get(name, {})

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
