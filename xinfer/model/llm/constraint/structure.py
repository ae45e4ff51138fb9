"""Structural tags: text, JSON by a schema and other forms, one after the other.

The notation is xgrammar's, and vLLM's, as far as xinfer itself writes it; `pipeline.forms` does.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from xinfer.model.llm.constraint.errors import refused
from xinfer.types.request import Constraint

Control = Callable[[str], int | None]
"""The number of the control token that a text is; None: it is none."""

_ANY = "/(?s:.*)/"


class Lark(ABC):
    """Rules of a grammar for llguidance, written one after the other.

    Each method below adds one, and returns what it is called.

    Args:
        constraint: what it is for.
    """

    def __init__(self, constraint: Constraint, control: Control) -> None:
        self.constraint = constraint
        self.control = control
        self.lines: list[str] = []

    def rule(self, body: str, attributes: str = "") -> str:
        """A rule of its own."""
        name = f"n{len(self.lines)}"
        self.lines.append(f"{name}{attributes}: {body}")
        return name

    def text(self, text: str) -> str:
        """Exactly this text; a control token where it is one."""
        token = self.control(text)
        if token is not None:
            return f"<[{token}]>"
        return json.dumps(text)

    def until(self, end: str) -> str:
        """Any text up to the first `end`, and that."""
        token = self.control(end)
        if token is not None:
            return f"({self.rule(_ANY)} <[{token}]>)"
        return self.rule(_ANY, f"[suffix={json.dumps(end)}]")

    @abstractmethod
    def schema(self, schema: Any) -> str:
        """JSON that is valid by a schema.

        Raises:
            InvalidRequest: it is none, or beyond the bounds.
        """

    @abstractmethod
    def pattern(self, pattern: str) -> str:
        """What a regular expression matches that has been looked at."""

    @abstractmethod
    def regex(self, pattern: str) -> str:
        """What a regular expression matches.

        Raises:
            InvalidRequest: it is beyond the bounds.
        """

    @abstractmethod
    def gbnf(self, source: str) -> str:
        """What a grammar in GBNF makes.

        Raises:
            InvalidRequest: it is none, or beyond the bounds.
        """


def parse_structure(constraint: Constraint) -> dict[str, Any]:
    """The node that all of the output is.

    Raises:
        InvalidRequest: the text is not of that kind.
    """
    try:
        node: dict[str, Any] = json.loads(constraint.source)["format"]
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise refused(constraint, f"cannot be read: {error}", "Send less deep a schema.") from None
    return node


def write(node: dict[str, Any], lark: Lark) -> str:
    """An expression for a node; the rules that it refers to are added.

    Raises:
        InvalidRequest: a schema, an expression or a grammar in it is none, or beyond the bounds.
    """
    kind = node["type"]
    if kind == "const_string":
        return lark.text(node["value"]) if node["value"] else '""'
    if kind == "json_schema":
        return lark.schema(node["json_schema"])
    if kind == "regex":
        return lark.regex(node["pattern"])
    if kind == "grammar":
        return lark.gbnf(node["grammar"])
    if kind == "tag":
        return _tag(node, lark)
    if kind == "triggered_tags":
        return _triggered(node, lark)
    if kind in ("optional", "repeat"):
        inner = write(node["content"], lark)
        return f"({inner})?" if kind == "optional" else f"({inner}){_times(node)}"
    texts = _texts(node, lark.control)
    if texts:
        return lark.pattern("|".join(map(re.escape, texts)))
    elements = [write(each, lark) for each in node["elements"]]
    assert kind in ("sequence", "or"), kind
    return f"({(' ' if kind == 'sequence' else ' | ').join(elements)})"


def _tag(node: dict[str, Any], lark: Lark) -> str:
    """What stands between two texts; any text, up to the first of the second one."""
    begin = [lark.text(node["begin"])] if node["begin"] else []
    content = node["content"]
    if content["type"] == "any_text":
        return f"({' '.join([*begin, lark.until(node['end'])])})"
    end = [lark.text(node["end"])] if node["end"] else []
    return f"({' '.join([*begin, write(content, lark), *end])})"


def _triggered(node: dict[str, Any], lark: Lark) -> str:
    """Any text, in which each trigger begins one of the tags."""
    [trigger] = node["triggers"]
    bodies = []
    for tag in node["tags"]:
        rest = {**tag, "begin": tag["begin"].removeprefix(trigger)}
        bodies.append(_tag(rest, lark))
    text = lark.until(trigger)
    return f"(({text} ({' | '.join(bodies)}))* {lark.rule(_ANY)})"


def _texts(node: dict[str, Any], control: Control) -> list[str]:
    """The texts of an alternative that has nothing else, and no control token."""
    texts = [each.get("value") for each in node["elements"]]
    plain = node["type"] == "or" and None not in texts and not any(map(control, texts))
    return texts if plain else []


def _times(node: dict[str, Any]) -> str:
    return f"{{{node['min']},{node['max']}}}"
