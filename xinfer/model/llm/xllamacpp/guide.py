"""What an output is held to: a grammar that llama.cpp follows, and how far it has."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.matcher import Matcher

HEADER = "%llguidance {}\n"
"""What a grammar begins with that llama.cpp gives to llguidance, which is built into it."""


class Guide:
    """Follows an output, whoever chooses its tokens.

    Args:
        grammar: of the whole output, for llama.cpp to follow; None where it cannot.
        matcher: decides.
    """

    def __init__(self, grammar: str | None, matcher: Matcher) -> None:
        self.grammar = grammar
        self._matcher = matcher

    @property
    def complete(self) -> bool:
        """Whether the output may end here."""
        return self._matcher.complete

    def replay(self, output: list[int]) -> None:
        """The output begins with these tokens.

        Raises:
            InvalidRequest: the constraint does not allow it.
        """
        self._matcher.replay(output)

    def accept(self, ids: list[int]) -> list[int]:
        """The output goes on with these tokens, as far as they are allowed; returns those that are.

        Raises:
            InvalidRequest: the constraint is too complex to be followed further.
        """
        for position, token in enumerate(ids):
            if not self._matcher.allows(token):
                return ids[:position]
            self._matcher.accept(token)
        return ids

    def next(self) -> list[int]:
        """The tokens that may come next; none where the output can only end.

        Raises:
            InvalidRequest: the constraint is too complex to be followed further, or there is none.
        """
        mask = self._matcher.mask().copy()
        mask[sorted(self._matcher.end_ids)] = False
        tokens: list[int] = mask.nonzero()[0].tolist()
        if not tokens and not self.complete:
            raise self._matcher.nothing_left()
        return tokens


def one_of(tokens: list[int], *, optional: bool) -> str:
    """A grammar of one of these tokens, in order; or of nothing, where it is optional."""
    told = []
    for _, run in groupby(enumerate(tokens), lambda pair: pair[1] - pair[0]):
        row = [token for _, token in run]
        told.append(f"{row[0]}-{row[-1]}" if len(row) > 1 else str(row[0]))
    return f"{HEADER}start: <[{','.join(told)}]>{'?' if optional else ''}"
