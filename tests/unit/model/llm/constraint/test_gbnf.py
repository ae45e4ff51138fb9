"""GBNF as Lark: the same texts, and errors that say where."""

from __future__ import annotations

import pytest

from tests.support.pieces import PieceTokenizer
from xinfer.errors import InvalidRequest
from xinfer.model.llm.constraint.compiler import ConstraintCompiler
from xinfer.model.llm.constraint.gbnf import lark_of
from xinfer.types.request import Constraint

END = 256


@pytest.fixture(scope="module")
def compiler() -> ConstraintCompiler:
    return ConstraintCompiler(PieceTokenizer([*(bytes([b]) for b in range(256)), b""], {END}))


JSON = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws (
             string ":" ws value
             ("," ws string ":" ws value)*
           )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws # a list
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\n" [ \t]{0,20}
"""


@pytest.mark.parametrize(
    ("source", "taken", "refused"),
    [
        ('root ::= "yes" | "no"', ["yes", "no"], ["y", "yesno", ""]),
        ('root ::= [a-z]+ "x"', ["ax", "xx", "axbx"], ["x", "ab"]),
        ('root ::= "ab" "cd" | "abc" "x"', ["abcd", "abcx"], ["abc"]),
        ('root ::= a{2} b{1,} c{0,2}\na ::= "a"\nb ::= "b"\nc ::= "c"', ["aab", "aabbcc"],
         ["ab", "aa", "aabccc"]),
        ('root ::= "(" root ")" | "x"', ["x", "((x))"], ["((x)", "()"]),
        ('root ::= root "+" n | n\nn ::= [0-9]', ["1", "1+2+3"], ["1+", "+1"]),
        ('root ::= [^a-c\\]] . "\\x41\\u4f60\\U0001F389\\"\\\\"', ['z\nA你🎉"\\', '你éA你🎉"\\'],
         ['a.A你🎉"\\', '].A你🎉"\\']),
        ('root ::= [-a] [a-]', ["--", "aa"], ["b-"]),
        ("root ::= ", [""], ["a"]),
        ('root ::= ("a" |) "b"?', ["", "a", "b", "ab"], ["ba"]),
        ('# comment\nroot ::=\n  "a" # one\n\nother ::= "b"\n', ["a"], ["b"]),
        (JSON, ['{}', '{"a": [1, -2.5e3, "x\\u00e9\\n"], "b": {"c": null}}'], ['{"a"}', "[1]"]),
    ],
)  # fmt: skip
def test_texts_are_those_of_the_grammar(
    compiler: ConstraintCompiler, source: str, taken: list[str], refused: list[str]
) -> None:
    for text in (*taken, *refused):
        matcher = compiler.matcher(Constraint("grammar", source))
        allowed = True
        for byte in text.encode():
            allowed = allowed and matcher.allows(byte)
            if allowed:
                matcher.accept(byte)
        assert (allowed and matcher.allows(END)) == (text in taken), text


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "the rule root is not defined"),
        ('other ::= "a"', "the rule root is not defined"),
        ("root ::= nowhere", "the rule nowhere is not defined"),
        ("root :=", "a rule (name ::= …) is expected in line 1"),
        ('root ::= "a"\n  "b"', "a rule (name ::= …) is expected in line 2"),
        ('root ::= "a', "has no end"),
        ("root ::= [a", "has no end"),
        ("root ::= [z-a]", "ends before it begins"),
        ("root ::= []", "no characters"),
        ('root ::= ("a"', "a closing bracket is expected"),
        ('root ::= "a")', "the end of a rule is expected"),
        ("root ::= *", "nothing to repeat"),
        ('root ::= "a"{x}', "or no number"),
        ('root ::= "a"{3,2}', "ends before it begins"),
        ('root ::= "a"{2001}', "more than 2000 times"),
        ('root ::= "\\q"', "an escape sequence is expected"),
        ('root ::= "\\ud800"', "is no character"),
        ("root ::= <token>", "the end of a rule is expected"),
        (f"root ::= {'(' * 32_000}x{')' * 32_000}", "nested more than"),
        ("root ::= x" + "x" * (64 << 10), "more than 65536 characters"),
    ],
)
def test_what_is_no_grammar_is_refused_with_the_place(source: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as error:
        lark_of(Constraint("grammar", source, "guided_grammar"), source)
    assert words in error.value.message
    assert error.value.param == "guided_grammar"


def test_groups_within_the_bound_are_taken(compiler: ConstraintCompiler) -> None:
    compiler.check(Constraint("grammar", f'root ::= {"(" * 24}"a"{")*" * 24}'))
    with pytest.raises(InvalidRequest, match="nested more than 24 deep"):
        compiler.check(Constraint("grammar", f'root ::= {"(" * 25}"a"{")*" * 25}'))
