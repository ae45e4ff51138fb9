"""Grammars in GBNF, llama.cpp's notation, as grammars of llguidance.

llguidance reads a text in two layers: a lexer takes the longest word that it can, a parser takes
the words. GBNF has one layer of characters. So each character is a word of its own here, and no
other way to read a text is lost.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from xinfer.model.llm.constraint.errors import refused
from xinfer.types.request import Constraint

MAX_CHARS = 64 << 10
MAX_NESTING = 24
"""Groups within each other."""
MAX_REPEATS = 2_000
"""Of one item, as llama.cpp has it."""

_NAME = re.compile(r"[A-Za-z0-9-]+")
_SKIP = re.compile(r"(?:[ \t]|\#[^\r\n]*)*")
_SKIP_LINES = re.compile(r"(?:\s|\#[^\r\n]*)*")
_DEFINED = re.compile(r"([A-Za-z0-9-]+)[ \t]*::=")
_COUNT = re.compile(r"\{\s*(\d+)\s*(,\s*(\d*)\s*)?\}")
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([]nrt\\\"[]))")
_NAMED = {"n": "\n", "r": "\r", "t": "\t"}
_LAST = 0x10FFFF


class _Error(Exception):
    """What is wrong with the text."""


@dataclass
class _Reader:
    """Reads a grammar once, and writes it in Lark on the way."""

    text: str
    prefix: str = ""
    """Of the names of rules and words, in the grammar that it becomes a part of."""
    at: int = 0
    rules: dict[str, str] = field(default_factory=dict)
    used: dict[str, int] = field(default_factory=dict)
    """Numbers of the rules that there are names of."""
    words: dict[str, int] = field(default_factory=dict)
    """Numbers of the sets of characters."""

    def read(self) -> str:
        self._skip(lines=True)
        while self.at < len(self.text):
            defined = _DEFINED.match(self.text, self.at)
            if defined is None:
                raise _Error(f"a rule (name ::= …) is expected {self._here()}")
            self.at = defined.end()
            self._skip(lines=True)
            self.rules[defined[1]] = self._alternatives(0)
            if self.at < len(self.text) and self.text[self.at] not in "\r\n":
                raise _Error(f"the end of a rule is expected {self._here()}")
            self._skip(lines=True)
        for name in ("root", *self.used):
            if name not in self.rules:
                raise _Error(f"the rule {name} is not defined")
        return self._lark()

    def _lark(self) -> str:
        lines = [f"{self.prefix or 'start'}: {self._rule('root')}"]
        lines += [f"{self._rule(name)}: {text}" for name, text in self.rules.items()]
        words = self.words.items()
        lines += [f"{self.prefix.upper()}W{number}: /{word}/" for word, number in words]
        return "\n".join(lines)

    def _alternatives(self, depth: int) -> str:
        found = [self._sequence(depth)]
        while self.text.startswith("|", self.at):
            self.at += 1
            self._skip(lines=True)
            found.append(self._sequence(depth))
        return " | ".join(found)

    def _sequence(self, depth: int) -> str:
        items: list[str] = []
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == '"':
                items.append(self._literal())
            elif char == "[":
                items.append(self._set())
            elif char == "(":
                items.append(self._group(depth + 1))
            elif char == ".":
                self.at += 1
                items.append(self._word(f"[{_code(0)}-{_code(_LAST)}]"))
            elif (name := _NAME.match(self.text, self.at)) is not None:
                self.at = name.end()
                items.append(self._rule(name[0]))
            elif char in "*+?{":
                self._repeat(items)
            else:
                break
            self._skip(lines=depth > 0)
        return " ".join(items) if items else '""'

    def _group(self, depth: int) -> str:
        if depth > MAX_NESTING:
            raise _Error(f"groups are nested more than {MAX_NESTING} deep")
        self.at += 1
        self._skip(lines=True)
        inner = self._alternatives(depth)
        if not self.text.startswith(")", self.at):
            raise _Error(f"a closing bracket is expected {self._here()}")
        self.at += 1
        return f"({inner})"

    def _repeat(self, items: list[str]) -> None:
        counted = _COUNT.match(self.text, self.at)
        times = self.text[self.at] if counted is None else _times(counted)
        if not items or times == "{":
            raise _Error(f"there is nothing to repeat, or no number, {self._here()}")
        self.at += 1 if counted is None else len(counted[0])
        item = items[-1]
        items[-1] = f"({item}){times}" if item[-1] in "*+?}" else f"{item}{times}"

    def _literal(self) -> str:
        self.at += 1
        words = []
        while not self.text.startswith('"', self.at):
            words.append(self._word(_code(self._char())))
        self.at += 1
        return f"({' '.join(words)})" if words else '""'

    def _set(self) -> str:
        self.at += 1
        negated = self.text.startswith("^", self.at)
        self.at += negated
        ranges = []
        while not self.text.startswith("]", self.at):
            first = last = self._char()
            if self.text.startswith("-", self.at) and not self.text.startswith("-]", self.at):
                self.at += 1
                last = self._char()
            if first > last:
                raise _Error(f"a range ends before it begins {self._here()}")
            ranges.append(f"{_code(first)}-{_code(last)}")
        self.at += 1
        if not ranges:
            raise _Error(f"a set of no characters ends {self._here()}")
        return self._word(f"[{'^' if negated else ''}{''.join(ranges)}]")

    def _char(self) -> int:
        if self.at >= len(self.text):
            raise _Error("a text or a set of characters has no end")
        escape = _ESCAPE.match(self.text, self.at)
        if escape is None:
            char = self.text[self.at]
            if char == "\\":
                raise _Error(f"an escape sequence is expected {self._here()}")
            self.at += 1
            return ord(char)
        self.at = escape.end()
        digits = escape[1] or escape[2] or escape[3]
        if digits is None:
            return ord(_NAMED.get(escape[4], escape[4]))
        code = int(digits, 16)
        if code > _LAST or 0xD800 <= code <= 0xDFFF:
            raise _Error(f"{escape[0]} is no character")
        return code

    def _skip(self, *, lines: bool) -> None:
        found = (_SKIP_LINES if lines else _SKIP).match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def _rule(self, name: str) -> str:
        return f"{self.prefix}r{self.used.setdefault(name, len(self.used))}"

    def _word(self, pattern: str) -> str:
        return f"{self.prefix.upper()}W{self.words.setdefault(pattern, len(self.words))}"

    def _here(self) -> str:
        line = self.text.count("\n", 0, self.at) + 1
        return f"in line {line} before {self.text[self.at : self.at + 20]!r}"


def lark_of(constraint: Constraint, source: str, *, prefix: str = "") -> str:
    """A GBNF grammar in llguidance's form of Lark.

    Args:
        constraint: what it is of, for errors.
        prefix: the name of its first rule, and the beginning of the others'; `start` by default.

    Raises:
        InvalidRequest: it is none, is too long, nested too deeply, or repeats too often.
    """
    if len(source) > MAX_CHARS:
        raise refused(constraint, f"has more than {MAX_CHARS} characters", "Shorten it.")
    try:
        return _Reader(source, prefix).read()
    except _Error as error:
        raise refused(
            constraint,
            f"is not one in GBNF: {error}",
            "See llama.cpp's description of GBNF; the first rule is named root.",
        ) from None


def _code(char: int) -> str:
    return f"\\x{{{char:x}}}"


def _times(counted: re.Match[str]) -> str:
    least = int(counted[1][:9])
    most = least if counted[2] is None else int((counted[3] or "0")[:9])
    if max(least, most) > MAX_REPEATS:
        raise _Error(f"something is repeated more than {MAX_REPEATS} times")
    if counted[2] is not None and not counted[3]:
        return f"{{{least},}}"
    if most < least:
        raise _Error(f"{counted[0]} ends before it begins")
    return f"{{{least},{most}}}"
