"""Structural tags: what may stand where, control tokens among it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.pieces import PieceTokenizer
from xinfer.errors import InvalidRequest
from xinfer.model.llm.constraint.compiler import ConstraintCompiler
from xinfer.model.llm.pipeline.forms import (
    behind_thoughts,
    between,
    constraint_of,
    either,
    exactly,
    form_of,
    matching,
    sequence,
    several,
    valid,
    where_it_begins,
)
from xinfer.types.request import Constraint

END, OTHER_END, CALL, CALL_END, BACK = 256, 257, 258, 259, 260
CONTROL = {"<call>": CALL, "</call>": CALL_END, "</think>": BACK, "<end>": OTHER_END}
POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}},
    "required": ["x"],
    "additionalProperties": False,
}
THINK = ("<think>", "</think>")


class Tokens(PieceTokenizer):
    """Bytes, two ends, and control tokens, or the same without the latter."""

    def __init__(self, control: bool) -> None:
        super().__init__([*(bytes([n]) for n in range(256)), *[b""] * 5], {END, OTHER_END})
        self.control = CONTROL if control else {}

    def encode(self, text: str, *, special: bool) -> list[int]:
        if special and text in self.control:
            return [self.control[text]]
        return super().encode(text, special=special)


@pytest.fixture(scope="module", params=[False, True], ids=["text", "control"])
def tokens(request: pytest.FixtureRequest) -> Tokens:
    return Tokens(request.param)


@pytest.fixture(scope="module")
def compiler(tokens: Tokens) -> ConstraintCompiler:
    return ConstraintCompiler(tokens)


def ids(tokens: Tokens, text: str) -> list[int]:
    made: list[int] = []
    while text:
        name = next((name for name in tokens.control if text.startswith(name)), text[0])
        made += tokens.encode(name, special=True)
        text = text[len(name) :]
    return made


def takes(compiler: ConstraintCompiler, tokens: Tokens, form: dict[str, Any], text: str) -> bool:
    """Whether the text is a whole output; mask and answers agree on the way."""
    matcher = compiler.matcher(constraint_of(form, "response_format"))
    for token in ids(tokens, text):
        mask = matcher.mask()
        assert mask[token] == matcher.allows(token)
        assert mask[END] == mask[OTHER_END] == matcher.complete
        if not matcher.allows(token):
            return False
        matcher.accept(token)
    return matcher.complete


ONE = '<call>{"x": 1}</call>'
CALLED = sequence(exactly("<call>"), valid(POINT), exactly("</call>"))


@pytest.mark.parametrize(
    ("form", "taken", "refused"),
    [
        (sequence(exactly('a"\\'), exactly("é🎉")), ['a"\\é🎉'], ["a", 'a"\\é', "é🎉"]),
        (either([exactly("a"), exactly("a.*"), exactly("")]), ["a", "a.*", ""], ["ab", "a."]),
        (either([exactly("<call>"), exactly("b")]), ["<call>", "b"], ["<cal", "<call>b"]),
        (several(CALLED, ", ", 3), [ONE, f"{ONE}, {ONE}", f"{ONE}, {ONE}, {ONE}"],
         [f"{ONE}, ", f"{ONE}{ONE}", f"{ONE}, {ONE}, {ONE}, {ONE}", '{"x": 1}']),
        (several(exactly("a"), "", 2), ["a", "aa"], ["", "aaa"]),
        (between("<", "</think>"), ["<</think>", "<a <b\n</</think>"], ["</think>", "<a</think>b"]),
        (behind_thoughts(valid(POINT), *THINK, opened=False),
         ['{"x": 1}', '<think>{"x": 1} "</think>\n\n{"x": 2}', '<think></think>{"x": 2}'],
         ['<think>{"x": 1}', '<think>a</think>', '<think>a</think>b', '{"x": 1}</think>{"x": 1}']),
        (behind_thoughts(matching("[a-z]+"), *THINK, opened=True),
         ["</think>a", "Hm.\n</think>\n\nabc"], ["abc", "a</think>", "a</think>\n\n\n\n\nabc"]),
        (where_it_begins("<call>", sequence(valid(POINT), exactly("</call>"))),
         ["", "Text {", 'A <call>{"x": 1}</call> b <call>{"x": 2}</call>', '<call>{"x": 1}</call>'],
         ["A <call>", "<call>{}</call>", '<call>{"x": 1}', '<call>{"x": 1}</call><call>b']),
    ],
)  # fmt: skip
def test_outputs_are_those_of_the_form(
    compiler: ConstraintCompiler,
    tokens: Tokens,
    form: dict[str, Any],
    taken: list[str],
    refused: list[str],
) -> None:
    for text in taken:
        assert takes(compiler, tokens, form, text), text
    for text in refused:
        assert not takes(compiler, tokens, form, text), text


def test_a_control_token_is_not_its_text() -> None:
    tokens = Tokens(True)
    matcher = ConstraintCompiler(tokens).matcher(constraint_of(CALLED, ""))
    assert set(matcher.mask().nonzero()[0]) == {CALL}
    assert not matcher.allows(ord("<"))


def test_an_end_of_the_text_that_is_named_is_text() -> None:
    tokens = Tokens(True)
    matcher = ConstraintCompiler(tokens).matcher(constraint_of(exactly("<end>"), ""))
    assert set(matcher.mask().nonzero()[0]) == {ord("<")}


@pytest.mark.parametrize(
    "constraint",
    [
        Constraint("json_object", ""),
        Constraint("json_schema", json.dumps(POINT)),
        Constraint("regex", '[{]"x":1[}]'),
        Constraint("choice", '["{\\"x\\":1}", "a"]'),
        Constraint("grammar", 'root ::= "{" word ":1}"\nword ::= [\\"x] word?'),
    ],
    ids=lambda constraint: constraint.kind,
)
def test_every_kind_of_constraint_may_follow_thoughts(constraint: Constraint) -> None:
    tokens = Tokens(False)
    compiler = ConstraintCompiler(tokens)
    content = form_of(constraint)
    assert content is not None
    form = behind_thoughts(content, *THINK, opened=True)
    assert takes(compiler, tokens, form, 'b</think>\n\n{"x":1}')
    assert not takes(compiler, tokens, form, "b</think>\n\n[]")
    assert not takes(compiler, tokens, form, '{"x":1}')


@pytest.mark.parametrize(
    ("form", "named"),
    [
        (valid({"not": {}}), "not"),
        (valid({"type": "array", "minItems": 10**6}), "minItems"),
        (valid(3), "is not an object"),
        (matching("(x{1000}){1000}"), "repeats"),
        ({"type": "grammar", "grammar": "root ::= missing"}, "missing"),
    ],
)
def test_what_cannot_be_enforced_in_a_part_is_named(form: dict[str, Any], named: str) -> None:
    compiler = ConstraintCompiler(Tokens(False))
    whole = behind_thoughts(form, *THINK, opened=False)
    with pytest.raises(InvalidRequest, match=named) as caught:
        compiler.check(constraint_of(whole, "response_format"))
    assert caught.value.param == "response_format"


def test_json_may_have_one_way_of_writing_blanks() -> None:
    tokens = Tokens(False)
    compiler = ConstraintCompiler(tokens, one_way=True)
    assert takes(compiler, tokens, valid(POINT), '{"x": 1}')
    assert not takes(compiler, tokens, valid(POINT), '{"x":1}')
