"""Bounds of constraints, found before anything is compiled."""

from __future__ import annotations

import json
from typing import Any

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.llm.constraint import limits
from xinfer.model.llm.constraint.limits import (
    check_choices,
    check_regex,
    check_schema,
    check_size,
)
from xinfer.types.request import Constraint

SCHEMA = Constraint("json_schema", "", "response_format")
REGEX = Constraint("regex", "", "guided_regex")


def nested(depth: int) -> Any:
    return {"items": nested(depth - 1)} if depth > 1 else {}


@pytest.mark.parametrize(
    ("within", "beyond", "words"),
    [
        (nested(limits.MAX_NESTING), nested(limits.MAX_NESTING + 1), "nested more than 32"),
        ({"enum": [0] * limits.MAX_VALUES}, {"enum": [0] * (limits.MAX_VALUES + 1)}, "enum"),
        (
            {"allOf": [{"enum": [0] * 2500}] * 2},
            {"allOf": [{"enum": [0] * 2501}] * 2},
            "5000 values in enum",
        ),
        (
            {"properties": {str(number): {} for number in range(1000)}},
            {"properties": {str(number): {} for number in range(1001)}},
            "1000 properties",
        ),
        ({"const": [0] * 19_000}, {"const": [0] * 20_000}, "20000 values in all"),
        ({"maxItems": 1000}, {"maxItems": 1001}, "maxItems of 1001"),
        ({"minItems": 1000}, {"minItems": 1e9}, "minItems"),
        ({"multipleOf": 0.001}, {"multipleOf": 10_007}, "multipleOf"),
        ({"multipleOf": 5000}, {"anyOf": [{"multipleOf": 101}, {"multipleOf": 103}]}, "multipleOf"),
        ({"pattern": "a{10000}"}, {"pattern": "a{10001}"}, "10000 times"),
        ({}, {"patternProperties": {"(a{101}){100}": {}}}, "10000 times"),
    ],
)
def test_a_schema_is_taken_up_to_its_bounds(within: Any, beyond: Any, words: str) -> None:
    check_schema(SCHEMA, within)
    with pytest.raises(InvalidRequest) as error:
        check_schema(SCHEMA, beyond)
    assert words in error.value.message
    assert error.value.param == "response_format"


@pytest.mark.parametrize(
    "pattern",
    [
        "(a{100}){100}", "a{100}b{9999}", "((a|b){10}(c{10}d){9}){100}", "[(){9999}]{10000}",
        "\\({9000}(b){9000}", "(" * 64 + ")" * 64, "a{,5}", "a{",
        "x{1,}" * 100, ")" * 100, "[", "\\",
    ],
)  # fmt: skip
def test_a_regular_expression_within_the_bounds_is_taken(pattern: str) -> None:
    check_regex(REGEX, pattern)


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(a{101}){100}", "10000 times"),
        ("(x(a{1,101}b)*c){100}", "10000 times"),
        ("((a{0,100}){0,100}){0,100}", "10000 times"),
        ("a{" + "9" * 5000 + "}", "10000 times"),
        ("(a{3}|b{200}c){60}", "10000 times"),
        ("(" * 65, "64 groups"),
        ("a" * 8193, "8193 characters"),
    ],
)
def test_a_regular_expression_beyond_them_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        check_regex(REGEX, pattern)
    assert words in error.value.message
    assert error.value.param == "guided_regex"


def test_choices_are_bounded() -> None:
    assert check_choices(Constraint("choice", '["a", "b"]')) == ["a", "b"]
    check_choices(Constraint("choice", json.dumps(["a"] * 5000)))
    with pytest.raises(InvalidRequest, match="5001 of them"):
        check_choices(Constraint("choice", json.dumps(["a"] * 5001)))


def test_the_text_is_bounded() -> None:
    check_size(Constraint("regex", "a" * limits.MAX_CHARS))
    with pytest.raises(InvalidRequest, match="262145 characters"):
        check_size(Constraint("regex", "a" * (limits.MAX_CHARS + 1)))
