"""Constraints as grammars in llguidance's form of Lark, which llama.cpp reads as well."""

from __future__ import annotations

import json
import re
from typing import Any

from llguidance import regex_to_lark

from xinfer.model.llm.constraint.errors import refused
from xinfer.model.llm.constraint.gbnf import lark_of
from xinfer.model.llm.constraint.limits import (
    check_choices,
    check_regex,
    check_schema,
    check_size,
)
from xinfer.model.llm.constraint.structure import Control, Lark, parse_structure, write
from xinfer.types.request import Constraint

_OPTIONS = "x-guidance"
"""Where llguidance looks for its options in a schema."""
_JSON = {
    # No more whitespace than one blank, else a model can go on with it for ever.
    "whitespace_flexible": False,
    "whitespace_pattern": None,
    "item_separator": ", ?",
    "key_separator": ": ?",
    # A keyword that is not enforced is an error.
    "lenient": False,
    "coerce_one_of": False,
}
_ONE_WAY = {**_JSON, "item_separator": ", ", "key_separator": ": "}
"""For versions of llguidance that take separators as they are written."""


def grammar_of(constraint: Constraint, control: Control, *, one_way: bool = False) -> str:
    """A grammar for llguidance.

    Args:
        control: the number of the control token that a text is, if it is one.
        one_way: a blank has to follow each comma and colon of JSON, where it may otherwise.

    Raises:
        InvalidRequest: the constraint is malformed, or beyond the bounds of `limits`.
    """
    check_size(constraint)
    lark = _Lark(constraint, control, _ONE_WAY if one_way else _JSON)
    if constraint.kind == "structural_tag":
        start = write(parse_structure(constraint), lark)
    elif constraint.kind == "json_object":
        start = lark.schema({"type": "object"})
    elif constraint.kind == "json_schema":
        start = lark.schema(_parsed(constraint))
    elif constraint.kind == "choice":
        choices = check_choices(constraint)
        start = lark.pattern("|".join(map(re.escape, choices)))
    elif constraint.kind == "grammar":
        start = lark.gbnf(constraint.source)
    else:
        assert constraint.kind == "regex", constraint.kind
        start = lark.regex(constraint.source)
    return "\n".join(["%llguidance {}", f"start: {start}", *lark.lines])


class _Lark(Lark):
    """The rules of one grammar, with JSON in the manner of `options`."""

    def __init__(self, constraint: Constraint, control: Control, options: dict[str, Any]) -> None:
        super().__init__(constraint, control)
        self._options = options

    def schema(self, schema: Any) -> str:
        schema = {} if schema is True else schema
        if not isinstance(schema, dict):
            hint = 'Send one such as {"type": "object"}.'
            raise refused(self.constraint, "is not an object", hint)
        check_schema(self.constraint, schema)
        _check_properties(self.constraint, schema)
        own = {**schema, _OPTIONS: self._options}
        return self.rule(f"%json {json.dumps(own)}")

    def regex(self, pattern: str) -> str:
        check_regex(self.constraint, pattern)
        return self.pattern(pattern)

    def pattern(self, pattern: str) -> str:
        # \d, \w and \s are those of ASCII.
        return self.rule(f"/{regex_to_lark(pattern, 'dws')}/")

    def gbnf(self, source: str) -> str:
        name = self.rule("")
        self.lines[-1] = lark_of(self.constraint, source, prefix=name)
        return name


def _parsed(constraint: Constraint) -> Any:
    try:
        return json.loads(constraint.source)
    except (ValueError, RecursionError) as error:
        raise refused(constraint, f"cannot be read: {error}", "Send one in JSON.") from None


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
