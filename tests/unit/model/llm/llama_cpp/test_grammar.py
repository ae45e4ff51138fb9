"""Bounds of a grammar, found before llama.cpp reads it."""

from __future__ import annotations

import time

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.llm.llama_cpp.grammar import (
    MAX_ELEMENTS,
    MAX_NESTING,
    MAX_OPTIONAL,
    check_grammar,
)

JSON = r"""
root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\"" ( [^"\\\x7F\x00-\x1F] | "\\" (["\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [1-9]{1,15})? ws
ws     ::= | " " | "\n" [ \t]{0,20} # "(((
"""


@pytest.mark.parametrize(
    "source",
    [
        JSON,
        'root ::= "(((<a>" [(((<>] # (((<a>\n',
        f"root ::= {'(' * (MAX_NESTING - 1)}x{')' * (MAX_NESTING - 1)}",
        f"root ::= {'(x) ' * 500}",
        'root ::= "x"{2000}',
        f"root ::= {'x? y ' * 500}",
        f"root ::= {'| x? ' * 500}",
    ],
)
def test_grammar_within_the_bounds_is_taken(source: str) -> None:
    check_grammar(source)


@pytest.mark.parametrize(
    "source",
    [
        f"root ::= {'(' * 32_000}x{')' * 32_000}",
        "root ::= " + "(" * MAX_NESTING,
        "root ::= " + "(\n" * MAX_NESTING + "a | b",
    ],
)
def test_deep_nesting_is_refused(source: str) -> None:
    with pytest.raises(InvalidRequest, match="nested more than 64 deep"):
        check_grammar(source)


@pytest.mark.parametrize(
    "source",
    [
        f'root ::= "{"x" * (MAX_ELEMENTS // 2)}"{{3}}',
        f'root ::= "{"x" * (MAX_ELEMENTS // 2)}"{{0,3}}',
        f'root ::= "{"x" * (MAX_ELEMENTS // 2)}"+ y',
        f"root ::= [{'x' * 1000}]{{60}}",
        "root ::= x{2000}{30}",
        "root ::= " + "x{1,2000} y " * 20,
    ],
)
def test_size_counts_with_the_repetitions_written_out(source: str) -> None:
    with pytest.raises(InvalidRequest, match=f"more than {MAX_ELEMENTS} elements"):
        check_grammar(source)


@pytest.mark.parametrize(
    "item", ['"x"*', "x?", "[x]{0,3}", '("a" | "b")*', '("a"?)', '("a" | "b"*)', '(("a"?) "b"*)']
)
def test_many_optional_items_in_a_row_are_refused(item: str) -> None:
    check_grammar(f"root ::= {f'{item} ' * (MAX_OPTIONAL // 2)}")
    with pytest.raises(InvalidRequest, match="may all be left out"):
        check_grammar(f"root ::= {f'{item} ' * (MAX_OPTIONAL + 1)}")


@pytest.mark.parametrize(
    "source",
    [
        "root ::= " + "x " * 20 + '\nx ::= "a"*',
        'x ::= "a"* | "b"\ny ::= x\nroot ::= ' + "y " * 20,
        'root ::= x{0,1900}\nx ::= y{0,1900}\ny ::= "z"?',
        'root ::= ("a"?){20}',
        "root ::= " + '(("x"? "y"?)? "z"?) ' * 8,
    ],
)
def test_optional_items_count_behind_names_and_in_groups(source: str) -> None:
    with pytest.raises(InvalidRequest, match="may all be left out"):
        check_grammar(source)


def test_long_chain_of_empty_rules_is_refused() -> None:
    chain = "".join(f"a{n} ::= a{n + 1}\n" for n in range(20))
    with pytest.raises(InvalidRequest, match="within each other that may all be empty"):
        check_grammar(f'root ::= a0\n{chain}a20 ::= "x"?')


@pytest.mark.parametrize(
    "source", ['root ::= "t" <[370]>', "root ::= !<think>", "root ::= (<[1]>)"]
)
def test_tokens_are_refused(source: str) -> None:
    with pytest.raises(InvalidRequest, match="token in angle brackets"):
        check_grammar(source)


def test_zero_byte_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="zero byte"):
        check_grammar('root ::= "a"\0')


@pytest.mark.parametrize("char", "[<{!#\\ a")
def test_scan_takes_no_quadratic_time(char: str) -> None:
    """Looking for the end of each `[` anew takes minutes."""
    started = time.thread_time()
    check_grammar("root ::= x" + char * (64 << 10))
    assert time.thread_time() - started < 2
