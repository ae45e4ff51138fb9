"""Constraints of one model, compiled and kept."""

from __future__ import annotations

import re
from collections import OrderedDict
from threading import Lock
from typing import Any, Protocol

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from xinfer.errors import InvalidRequest
from xinfer.model.llm.constraint.errors import refused
from xinfer.model.llm.constraint.grammar import grammar_of
from xinfer.model.llm.constraint.matcher import Matcher, first_line
from xinfer.types.request import Constraint

KEPT = 128
"""Compiled constraints that are kept."""

_LIMITS: dict[str, Any] = {
    # About 20 ms of compiling, and 15 ms of the lexer for the mask of a token. The parser looks for
    # each new item through all of its row: the worst grammars take it 0.1 s.
    "initial_lexer_fuel": 1_000_000,
    "step_lexer_fuel": 200_000,
    "step_max_items": 50_000,
    # A right-recursive rule takes one for each time it has begun.
    "max_items_in_row": 2_000,
    "max_grammar_size": 100_000,
    # A state takes one or two kB.
    "max_lexer_states": 50_000,
}
_END = b"<end>"
"""What llguidance calls a token that ends an output: without a name it would be the beginning of
any control token."""
_PLACE = re.compile(r"^at \d+\(\d+\): (?:failed to compile JSON schema: )?")
"""Of a grammar that nobody has seen."""
_UNIMPLEMENTED = re.compile(r"Unimplemented keys: \[(.*)\]")


class Tokens(Protocol):
    """What a constraint has to know of a tokenizer."""

    eos_ids: frozenset[int]

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Ids of `text`; `special` tells whether control tokens in it are recognised."""
        ...

    def piece(self, token: int) -> bytes:
        """The bytes a token stands for; empty for a control token."""
        ...

    @property
    def vocabulary_size(self) -> int: ...


class ConstraintCompiler:
    """Compiles each constraint once. Thread-safe; compiling does not hold the interpreter's lock.

    Args:
        tokens: of the model.
        one_way: as of `grammar_of`.
    """

    def __init__(self, tokens: Tokens, *, one_way: bool = False) -> None:
        self._tokens = tokens
        self._one_way = one_way
        self._end_ids = tokens.eos_ids
        self._tokenizer = LLTokenizer(
            TokenizerWrapper(_Vocabulary(tokens)), eos_token=sorted(self._end_ids)
        )
        self._lock = Lock()
        self._kept: OrderedDict[tuple[str, str], LLMatcher] = OrderedDict()

    def check(self, constraint: Constraint) -> None:
        """Compile it, unless it is there. Blocks for up to about a second.

        Raises:
            InvalidRequest: it is malformed, beyond the bounds, or asks for what cannot be enforced.
        """
        self._compiled(constraint)

    def matcher(self, constraint: Constraint) -> Matcher:
        """For a new output.

        Raises:
            InvalidRequest: as of `check`.
        """
        state = self._compiled(constraint).deep_copy()
        return Matcher(state, constraint, self._end_ids, self._tokenizer.vocab_size)

    def grammar(self, constraint: Constraint) -> str:
        """In llguidance's form of Lark, for a library that has it built in.

        Raises:
            InvalidRequest: as of `check`.
        """
        return grammar_of(constraint, self._control, one_way=self._one_way)

    def _compiled(self, constraint: Constraint) -> LLMatcher:
        key = constraint.kind, constraint.source
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        # Without the lock: who asks for one that is kept does not wait for this one.
        compiled = self._compile(constraint)
        with self._lock:
            self._kept[key] = compiled
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return compiled

    def _compile(self, constraint: Constraint) -> LLMatcher:
        limits = LLParserLimits(verbose_errors=False, **_LIMITS)
        lark = LLMatcher.grammar_from_lark(self.grammar(constraint))
        state = LLMatcher(self._tokenizer, lark, log_level=0, limits=limits)
        if not state.is_error():
            # Whether there is a way to begin; and the first mask is what the lexer works most for.
            first = state.deep_copy()
            first.compute_bitmask()
            if first.is_error():
                raise _refusal(constraint, first.get_error())
            return state
        raise _refusal(constraint, state.get_error())

    def _control(self, text: str) -> int | None:
        """The control token that a text is; the tokens that end an output are none."""
        ids = self._tokens.encode(text, special=True)
        if len(ids) != 1 or ids[0] in self._end_ids or self._tokens.piece(ids[0]):
            return None
        return ids[0]


class _Vocabulary:
    """A tokenizer as llguidance wants it, of which it needs the tokens only."""

    def __init__(self, tokens: Tokens) -> None:
        ends = tokens.eos_ids
        self.tokens = [
            _END if token in ends else tokens.piece(token)
            for token in range(tokens.vocabulary_size)
        ]
        self.eos_token_id = min(ends)
        self.bos_token_id = None
        self.special_token_ids = sorted(ends)
        single = {piece: token for token, piece in enumerate(self.tokens) if len(piece) == 1}
        self._bytes = {piece[0]: token for piece, token in single.items()}

    def __call__(self, text: bytes) -> list[int]:
        return [self._bytes[byte] for byte in text if byte in self._bytes]


def _refusal(constraint: Constraint, reason: str) -> InvalidRequest:
    unimplemented = _UNIMPLEMENTED.search(reason)
    if unimplemented is not None:
        names = unimplemented[1].replace('"', "")
        return refused(
            constraint, f"uses {names}, which cannot be enforced", "Leave it out, or say it else."
        )
    if "NoExtension" in reason:
        return refused(constraint, "allows no text at all", "Change it so that there is one.")
    lines = reason.strip().splitlines()
    error = next((line for line in lines if line.startswith("error: ")), None)
    what = first_line(reason) if error is None else error.removeprefix("error: ")
    what = _PLACE.sub("", what)
    return refused(constraint, f"cannot be enforced: {what}", "Change or leave out that part.")
