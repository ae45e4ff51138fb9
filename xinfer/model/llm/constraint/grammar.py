"""Constraints as grammars of llguidance."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from llguidance import LLMatcher, regex_to_lark

from xinfer.model.llm.constraint.errors import refused
from xinfer.model.llm.constraint.gbnf import lark_of
from xinfer.model.llm.constraint.limits import (
    check_choices,
    check_regex,
    check_schema,
    check_size,
)
from xinfer.types.request import Constraint

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

_JSON: JsonCompileOptions = {
    # No more whitespace than one blank, else a model can go on with it for ever.
    "whitespace_flexible": False,
    "whitespace_pattern": None,
    "item_separator": ", ?",
    "key_separator": ": ?",
    # A keyword that is not enforced is an error.
    "lenient": False,
    "coerce_one_of": False,
}
_OPTIONS = "x-guidance"
"""Where llguidance looks for its options in a schema."""


def grammar_of(constraint: Constraint) -> str:
    """What llguidance is to compile.

    Raises:
        InvalidRequest: the constraint is malformed, or beyond the bounds of `limits`.
    """
    check_size(constraint)
    if constraint.kind == "json_object":
        return _schema(constraint, {"type": "object"})
    if constraint.kind == "json_schema":
        return _schema(constraint, _parsed(constraint))
    if constraint.kind == "choice":
        choices = check_choices(constraint)
        return _regex("|".join(map(re.escape, choices)))
    if constraint.kind == "grammar":
        return str(LLMatcher.grammar_from_lark(lark_of(constraint)))
    assert constraint.kind == "regex", constraint.kind
    check_regex(constraint, constraint.source)
    return _regex(constraint.source)


def _regex(pattern: str) -> str:
    # \d, \w and \s are those of ASCII.
    return str(LLMatcher.grammar_from_lark(f"start: /{regex_to_lark(pattern, 'dws')}/"))


def _parsed(constraint: Constraint) -> dict[str, Any]:
    try:
        schema = json.loads(constraint.source)
    except (ValueError, RecursionError) as error:
        raise refused(constraint, f"cannot be read: {error}", "Send one in JSON.") from None
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        raise refused(constraint, "is not an object", 'Send one such as {"type": "object"}.')
    return schema


def _schema(constraint: Constraint, schema: dict[str, Any]) -> str:
    check_schema(constraint, schema)
    _check_properties(constraint, schema)
    own = {name: value for name, value in schema.items() if name != _OPTIONS}
    try:
        return str(LLMatcher.grammar_from_json_schema(json.dumps(own), overrides=_JSON))
    except ValueError as error:
        raise refused(constraint, f"cannot be read: {error}", "Send a valid one.") from None


def _check_properties(constraint: Constraint, schema: Any) -> None:
    """llguidance counts a name that comes twice as two properties."""
    waiting = [schema]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            least, required = node.get("minProperties"), node.get("required")
            there = len(required) if isinstance(required, list) else 0
            if isinstance(least, int) and least > there:
                raise refused(
                    constraint,
                    "uses minProperties, which cannot be enforced beyond the names in required",
                    "Leave it out, or name the properties that have to be there.",
                )
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
