"""What constraints allow, token by token; what is refused, and why."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from tests.support.pieces import PieceTokenizer
from xinfer.errors import InvalidRequest
from xinfer.model.llm.constraint import compiler as module
from xinfer.model.llm.constraint.compiler import ConstraintCompiler
from xinfer.model.llm.constraint.matcher import Matcher
from xinfer.types.request import Constraint

END, OTHER_END, CONTROL, AB, TWICE = 256, 257, 258, 259, 260
PIECES = [*(bytes([byte]) for byte in range(256)), b"", b"", b"", b"ab", b"A"]


@pytest.fixture(scope="module")
def compiler() -> ConstraintCompiler:
    return ConstraintCompiler(PieceTokenizer(PIECES, {END, OTHER_END}))


def takes(matcher: Matcher, text: str) -> bool:
    """Whether the text is a whole output."""
    for byte in text.encode():
        if not matcher.allows(byte):
            return False
        matcher.accept(byte)
    return matcher.allows(END) and matcher.allows(OTHER_END)


def schema(value: Any) -> Constraint:
    return Constraint("json_schema", json.dumps(value), "response_format")


POINT = {
    "type": "object",
    "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}},
    "required": ["x"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("constraint", "taken", "refused"),
    [
        (schema(POINT), ['{"x":1}', '{"x": 1, "y": 2}'], ['{"y":1}', '{"x":  1}', '{"x":1} ']),
        (schema(True), ["1", '"a"', "[null]"], ["a", ""]),
        (Constraint("json_object", ""), ["{}", '{"a":[1,{}]}'], ["[]", "1", '{"a"}']),
        (Constraint("regex", r"\d{2}-[a-z]+"), ["12-a"], ["12-", "1-a", "12-aB", "٣٣-a"]),
        (Constraint("regex", "^(a|b)/c$"), ["a/c"], ["a/", "xa/c"]),
        (Constraint("choice", '["a", "ab", "x.y", "(", "你"]'), ["a", "ab", "x.y", "(", "你"],
         ["b", "xzy", "aab", ""]),
        (Constraint("grammar", 'root ::= "a" b*\nb ::= [0-9] | "(" b ")"'), ["a", "a1(2)"],
         ["a(", "b"]),
    ],
)  # fmt: skip
def test_outputs_are_those_that_the_constraint_allows(
    compiler: ConstraintCompiler, constraint: Constraint, taken: list[str], refused: list[str]
) -> None:
    for text in taken:
        assert takes(compiler.matcher(constraint), text), text
    for text in refused:
        assert not takes(compiler.matcher(constraint), text), text


def test_the_mask_has_the_tokens_that_are_allowed(compiler: ConstraintCompiler) -> None:
    matcher = compiler.matcher(Constraint("regex", "(ab|b)*"))
    mask = matcher.mask()
    assert len(mask) == len(PIECES)
    assert set(mask.nonzero()[0]) == {ord("a"), ord("b"), AB, END, OTHER_END}
    assert all(matcher.allows(token) == mask[token] for token in range(len(PIECES)))
    matcher.accept(ord("a"))
    assert set(matcher.mask().nonzero()[0]) == {ord("b")}
    assert not matcher.allows(END)


def test_a_piece_that_two_tokens_have_is_allowed_as_both(compiler: ConstraintCompiler) -> None:
    matcher = compiler.matcher(Constraint("regex", "A[AB]"))
    matcher.accept(TWICE)
    assert {ord("A"), TWICE} <= set(matcher.mask().nonzero()[0])
    assert matcher.allows(ord("A"))
    assert matcher.allows(TWICE)


def test_control_tokens_are_not_allowed(compiler: ConstraintCompiler) -> None:
    matcher = compiler.matcher(Constraint("regex", ".*"))
    assert not matcher.mask()[CONTROL]


def test_what_cannot_go_on_can_only_end(compiler: ConstraintCompiler) -> None:
    matcher = compiler.matcher(Constraint("choice", '["ab"]'))
    matcher.accept(AB)
    assert set(matcher.mask().nonzero()[0]) == {END, OTHER_END}
    assert not matcher.allows(ord("a"))
    matcher.accept(END)


def test_outputs_do_not_share_where_they_are(compiler: ConstraintCompiler) -> None:
    constraint = Constraint("choice", '["ab", "b"]')
    one, two = compiler.matcher(constraint), compiler.matcher(constraint)
    one.accept(ord("a"))
    assert two.allows(ord("a"))
    assert not one.allows(ord("a"))


def test_it_goes_on_behind_a_resumed_output(compiler: ConstraintCompiler) -> None:
    matcher = compiler.matcher(Constraint("choice", '["abc", "b"]', "guided_choice"))
    matcher.replay([AB])
    assert takes(matcher, "c")
    with pytest.raises(InvalidRequest, match="not one that the request's list of choices") as error:
        compiler.matcher(Constraint("choice", '["b"]', "guided_choice")).replay([AB])
    assert error.value.param == "guided_choice"


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        (schema({"not": {}}), "uses not, which cannot be enforced"),
        (schema({"if": {}, "then": {}}), "uses if, then, which"),
        (schema({"type": "object", "minProperties": 1}), "minProperties"),
        (schema({"$ref": "http://127.0.0.1/a.json"}), "127.0.0.1/a.json"),
        (schema({"$ref": "#/nowhere"}), "nowhere"),
        (schema({"$ref": "#"}), "allows no text at all"),
        (schema({"type": "string", "pattern": "(?=a)b"}), "look-around"),
        (schema({"type": "nothing"}), "Invalid type: nothing"),
        (schema({"not": {}, "x-guidance": {"lenient": True}}), "uses not"),
        (schema([]), "is not an object"),
        (schema(False), "is not an object"),
        (Constraint("json_schema", "{"), "cannot be read"),
        (Constraint("regex", "[a-"), "unclosed character class"),
        (Constraint("regex", r"(a)\1"), "backreferences"),
        (Constraint("choice", "[]"), "is none"),
        (Constraint("choice", "[1]"), "is none"),
        (Constraint("grammar", "root ::= x"), "GBNF: the rule x is not defined"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_name(
    compiler: ConstraintCompiler, constraint: Constraint, words: str
) -> None:
    with pytest.raises(InvalidRequest) as error:
        compiler.check(constraint)
    assert words in error.value.message
    assert error.value.param == constraint.field


def test_a_grammar_with_too_many_readings_ends_its_output(compiler: ConstraintCompiler) -> None:
    chain = "".join(f"a{n} ::= a{n + 1} a{n + 1}\n" for n in range(30))
    matcher = compiler.matcher(Constraint("grammar", f'root ::= a0\n{chain}a30 ::= "a"?'))

    def go_on() -> None:
        for _ in range(1000):
            matcher.mask()
            matcher.accept(ord("a"))

    with pytest.raises(InvalidRequest, match="too complex to be followed"):
        go_on()


def test_a_constraint_is_compiled_once_and_the_oldest_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled = []
    inner = module.grammar_of
    monkeypatch.setattr(module, "KEPT", 2)
    monkeypatch.setattr(
        module, "grammar_of", lambda c, *a, **k: compiled.append(c.source) or inner(c, *a, **k)
    )
    compiler = ConstraintCompiler(PieceTokenizer(PIECES, {END, OTHER_END}))
    for source in ("a", "b", "a", "c", "a", "b"):
        compiler.check(Constraint("regex", source))
        compiler.matcher(Constraint("regex", source))
    assert compiled == ["a", "b", "c", "b"]


def test_one_that_is_kept_is_there_while_another_is_compiled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiler = ConstraintCompiler(PieceTokenizer(PIECES, {END, OTHER_END}))
    kept = Constraint("regex", "a")
    compiler.check(kept)
    begun, go_on = threading.Event(), threading.Event()
    inner = module.grammar_of

    def slow(constraint: Constraint, *args: Any, **kwargs: Any) -> str:
        begun.set()
        assert go_on.wait(60)
        return inner(constraint, *args, **kwargs)

    monkeypatch.setattr(module, "grammar_of", slow)
    thread = threading.Thread(target=compiler.check, args=(Constraint("regex", "b"),))
    thread.start()
    try:
        assert begun.wait(60)
        assert takes(compiler.matcher(kept), "a")
    finally:
        go_on.set()
        thread.join()
