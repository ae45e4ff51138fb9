"""Bounds of a constraint, looked at before anything is compiled."""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import Any

from xinfer.model.llm.constraint.errors import refused
from xinfer.types.request import Constraint

MAX_CHARS = 256 << 10
"""Of a constraint's text."""
MAX_NESTING = 32
"""Objects and lists within each other, in the text of a schema."""
MAX_NODES = 20_000
"""Objects, lists and plain values of a schema."""
MAX_VALUES = 5_000
"""Values of all of a schema's `enum`s, or of a list of choices."""
MAX_PROPERTIES = 1_000
"""Of all of a schema's `properties`."""
MAX_ITEMS = 1_000
"""What `minItems` and `maxItems` may say."""
MAX_REGEX_CHARS = 8 << 10
MAX_REPEATS = 10_000
"""Of an item in a regular expression, with the repetitions that are around it."""
MAX_MULTIPLE = 10_000
"""Least common multiple of all that a schema's `multipleOf` say, without their decimal points."""
MAX_GROUPS = 64
"""Groups within each other in a regular expression."""

_COUNT = re.compile(r"\{(\d+)(?:(,)(\d*))?\}")
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)


def check_size(constraint: Constraint) -> None:
    """
    Raises:
        InvalidRequest: the text is longer than `MAX_CHARS`.
    """
    if len(constraint.source) > MAX_CHARS:
        raise refused(
            constraint,
            f"has {len(constraint.source)} characters; at most {MAX_CHARS} are accepted",
            "Shorten it.",
        )


def check_schema(constraint: Constraint, schema: Any) -> None:
    """Refuse a schema that would take long to compile.

    Raises:
        InvalidRequest: it is beyond one of the bounds above, or one of its patterns is beyond those
            of `check_regex`.
    """
    nodes = values = properties = 0
    multiple = 1
    waiting = [(schema, 1)]
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if depth > MAX_NESTING:
            raise refused(
                constraint,
                f"is nested more than {MAX_NESTING} deep",
                "Give its inner parts names in $defs, and refer to them by $ref.",
            )
        if isinstance(node, dict):
            choices = node.get("enum")
            if isinstance(choices, list):
                values += len(choices)
            multiple = math.lcm(multiple, _multiple(node.get("multipleOf")))
            named = node.get("properties")
            if isinstance(named, dict):
                properties += len(named)
            _check_items(constraint, node)
            pattern = node.get("pattern")
            if isinstance(pattern, str):
                check_regex(constraint, pattern)
            for name in _patterns(node):
                check_regex(constraint, name)
            waiting += [(inner, depth + 1) for inner in node.values()]
        elif isinstance(node, list):
            waiting += [(inner, depth + 1) for inner in node]
        if values > MAX_VALUES:
            raise refused(
                constraint,
                f"has more than {MAX_VALUES} values in enum",
                "Say by a pattern what they have in common.",
            )
        if properties > MAX_PROPERTIES:
            raise refused(
                constraint, f"has more than {MAX_PROPERTIES} properties", "Leave some out."
            )
        if multiple > MAX_MULTIPLE:
            raise refused(
                constraint,
                f"has values of multipleOf whose least common multiple is above {MAX_MULTIPLE}",
                "Use smaller ones.",
            )
        if nodes > MAX_NODES:
            raise refused(constraint, f"has more than {MAX_NODES} values in all", "Leave some out.")


def check_choices(constraint: Constraint) -> list[str]:
    """The choices of a list.

    Raises:
        InvalidRequest: it is no list of texts, is empty, or has too many.
    """
    try:
        choices = json.loads(constraint.source)
    except (ValueError, RecursionError):
        choices = None
    if not (isinstance(choices, list) and choices and all(isinstance(c, str) for c in choices)):
        raise refused(constraint, "is none", "Send a list of one text or more.")
    if len(choices) > MAX_VALUES:
        raise refused(
            constraint,
            f"has {len(choices)} of them; at most {MAX_VALUES} are accepted",
            "Say by guided_regex what they have in common.",
        )
    return choices


def check_regex(constraint: Constraint, pattern: str) -> None:
    """Refuse a regular expression that takes long to follow. Whether it is one is not looked at.

    Raises:
        InvalidRequest: it is too long, has too many groups within each other, or repeats something
            too many times, counting the repetitions around it.
    """
    if len(pattern) > MAX_REGEX_CHARS:
        raise refused(
            constraint,
            f"has a pattern of {len(pattern)} characters; at most {MAX_REGEX_CHARS} are accepted",
            "Shorten it.",
        )
    # For each open group: most repetitions of something in it, and of the last item in it.
    groups = [[1, 1]]
    position = 0
    while position < len(pattern):
        char = pattern[position]
        counted = _COUNT.match(pattern, position) if char == "{" else None
        bracket = _CLASS.match(pattern, position) if char == "[" else None
        if counted is not None:
            groups[-1][1] *= _times(counted)
            position = counted.end()
        elif bracket is not None:
            _next_item(groups[-1])
            position = bracket.end()
        else:
            if char == "(":
                groups.append([1, 1])
            elif char == ")" and len(groups) > 1:
                inner = max(groups.pop())
                _next_item(groups[-1])
                groups[-1][1] = inner
            elif char not in "*+?":
                _next_item(groups[-1])
            position += 2 if char == "\\" else 1
        if len(groups) > MAX_GROUPS + 1:
            raise refused(
                constraint,
                f"has more than {MAX_GROUPS} groups within each other in a pattern",
                "Use fewer.",
            )
        if groups[-1][1] > MAX_REPEATS:
            raise refused(
                constraint,
                f"repeats something more than {MAX_REPEATS} times in a pattern",
                "Repeat it less often, or without an upper bound.",
            )


def _next_item(group: list[int]) -> None:
    group[0] = max(group)
    group[1] = 1


def _times(counted: re.Match[str]) -> int:
    """How often an item is written out for this repetition."""
    # Numbers with more digits than this are beyond any bound.
    least, most = int(counted[1][:9]), int((counted[3] or "0")[:9])
    return max(1, least, most)


def _check_items(constraint: Constraint, node: dict[str, Any]) -> None:
    for name in ("minItems", "maxItems"):
        value = node.get(name)
        if isinstance(value, (int, float)) and value > MAX_ITEMS:
            raise refused(
                constraint,
                f"has a {name} of {value}; at most {MAX_ITEMS} are accepted",
                "Use a smaller one, or leave it out.",
            )


def _multiple(value: Any) -> int:
    """The digits of a number, which is what it costs to count in it."""
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return 1
    digits = "".join(map(str, Decimal(str(value)).as_tuple().digits)).strip("0")
    return int(digits or "1")


def _patterns(node: dict[str, Any]) -> list[str]:
    found = node.get("patternProperties")
    return list(found) if isinstance(found, dict) else []
