"""Constraints on their way to vLLM: the grammar that was checked here, and ends that are none."""

from __future__ import annotations

import json

import pytest
from llguidance import LLMatcher, grammar_from

from tests.support.pieces import PieceTokenizer
from xinfer.errors import InvalidRequest
from xinfer.model.llm.constraint.compiler import ConstraintCompiler
from xinfer.model.llm.vllm.constraint import check_complete
from xinfer.types.request import Constraint

END = 256
SCHEMA = {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "null"}}}


@pytest.fixture(scope="module")
def compiler() -> ConstraintCompiler:
    pieces = [*(bytes([byte]) for byte in range(256)), b""]
    return ConstraintCompiler(PieceTokenizer(pieces, {END}))


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("json_object", ""),
        Constraint("json_schema", json.dumps(SCHEMA)),
        Constraint("regex", "[a-z]{3,9}"),
        Constraint("choice", '["yes", "no", ""]'),
        Constraint("grammar", 'root ::= "你" [a-f]{2,5}'),
    ],
    ids=lambda one: one.kind,
)
def test_vllm_takes_the_grammar_as_it_is(
    compiler: ConstraintCompiler, constraint: Constraint
) -> None:
    """By the calls of its backend `guidance`: it rewrites what it takes for no Lark, and has no
    tokenizer when it looks at a request first."""
    grammar = compiler.grammar(constraint)
    assert grammar_from("grammar", grammar) == LLMatcher.grammar_from_lark(grammar)
    assert LLMatcher.validate_grammar(grammar, None) == ""


def test_an_output_is_complete_where_it_may_end(compiler: ConstraintCompiler) -> None:
    constraint = Constraint("regex", "ab|abcd", "guided_regex")
    for whole in (b"ab", b"abcd"):
        check_complete(compiler, constraint, whole)
    for part in (b"", b"abc"):
        with pytest.raises(InvalidRequest, match="guided_regex") as refused:
            check_complete(compiler, constraint, part)
        assert refused.value.param == "guided_regex"
    with pytest.raises(InvalidRequest):
        check_complete(compiler, constraint, b"abd")
