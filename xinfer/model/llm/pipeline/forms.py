"""What an answer has to be, in xgrammar's notation of structural tags."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from xinfer.types.request import Constraint

Node = dict[str, Any]

KIND = "structural_tag"
"""Of the constraint that a form is."""

_GAP = {"type": "regex", "pattern": "[ \\n]{0,4}"}
"""White space behind thoughts."""


def exactly(value: str) -> Node:
    """Exactly this text. A control token of the model has to be a text of its own."""
    return {"type": "const_string", "value": value}


def valid(schema: Any) -> Node:
    """JSON that is valid by a schema."""
    return {"type": "json_schema", "json_schema": schema}


def matching(pattern: str) -> Node:
    """What a regular expression matches."""
    return {"type": "regex", "pattern": pattern}


def sequence(*elements: Node) -> Node:
    """One after the other."""
    return {"type": "sequence", "elements": list(elements)}


def either(elements: Sequence[Node]) -> Node:
    """One of these."""
    return {"type": "or", "elements": list(elements)}


def optional(content: Node) -> Node:
    """This or nothing."""
    return {"type": "optional", "content": content}


def between(begin: str, end: str) -> Node:
    """Any text up to the first `end`; `begin` is before it."""
    return {"type": "tag", "begin": begin, "content": {"type": "any_text"}, "end": end}


def several(content: Node, separator: str, most: int) -> Node:
    """One of it, or up to `most` with `separator` between them."""
    if most == 1:
        return content
    more = sequence(exactly(separator), content) if separator else content
    rest = {"type": "repeat", "min": 0, "max": most - 1, "content": more}
    return sequence(content, rest)


def where_it_begins(trigger: str, content: Node) -> Node:
    """Any text; behind each `trigger` in it stands `content`."""
    tag = {"type": "tag", "begin": trigger, "content": content, "end": ""}
    return {"type": "triggered_tags", "triggers": [trigger], "tags": [tag]}


def behind_thoughts(content: Node, begin: str, end: str, *, opened: bool) -> Node:
    """Thoughts, then `content`.

    Args:
        opened: they have begun with the prompt. Otherwise they may be left out.
    """
    thoughts = sequence(between("" if opened else begin, end), _GAP)
    return sequence(thoughts if opened else optional(thoughts), content)


def constraint_of(form: Node, field: str) -> Constraint:
    """The constraint that an answer is of this form, asked for by `field`."""
    told = {"type": KIND, "format": form}
    return Constraint(KIND, json.dumps(told, ensure_ascii=False), field)


def form_of(constraint: Constraint) -> Node | None:
    """The form of what a constraint allows; None: its text is not what it should be."""
    kind, source = constraint.kind, constraint.source
    if kind == KIND:
        whole: dict[str, Node] = json.loads(source)
        return whole["format"]
    if kind == "json_object":
        return valid({"type": "object"})
    if kind == "regex":
        return matching(source)
    if kind == "grammar":
        return {"type": "grammar", "grammar": source}
    try:
        value = json.loads(source)
    except (ValueError, RecursionError):
        return None
    if kind == "json_schema":
        return valid(value)
    choices = value if kind == "choice" and isinstance(value, list) else []
    plain = [exactly(choice) for choice in choices if isinstance(choice, str)]
    return either(plain) if plain and len(plain) == len(choices) else None
