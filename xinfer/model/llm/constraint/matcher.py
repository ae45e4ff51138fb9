"""One output on its way through a constraint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llguidance import LLMatcher
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.llm.constraint.errors import NOUNS, refused
from xinfer.types.request import Constraint


class Matcher:
    """Which tokens the output so far can go on with. Not thread-safe.

    The cheap way to use it: choose a token as if there were no constraint, ask `allows`, and only
    when it does not choose again among the tokens of `mask`.

    Args:
        state: llguidance's, of nothing else.
        end_ids: tokens that end an output; allowed where it is complete.
        vocabulary_size: tokens that `mask` tells of.
    """

    def __init__(
        self,
        state: LLMatcher,
        constraint: Constraint,
        end_ids: frozenset[int],
        vocabulary_size: int,
    ) -> None:
        self._state = state
        self._constraint = constraint
        self.end_ids = end_ids
        """Tokens that end an output."""
        self._size = vocabulary_size

    @property
    def field(self) -> str:
        """The request's field that the constraint came from."""
        return self._constraint.field

    @property
    def complete(self) -> bool:
        """Whether the output may end here."""
        return bool(self._state.is_accepting())

    def allows(self, token: int) -> bool:
        """Whether the output can go on with this token, or end with it.

        Raises:
            InvalidRequest: the constraint is too complex to be followed further.
        """
        if token in self.end_ids:
            return self.complete
        if self._state.is_stopped() and not self._state.is_error():
            return False
        allowed = self._state.validate_tokens([token]) == 1
        self._check()
        return allowed

    def mask(self) -> NDArray[np.bool_]:
        """For each token of the vocabulary, whether it is allowed.

        Raises:
            InvalidRequest: the constraint is too complex to be followed further.
        """
        bits = np.frombuffer(self._state.compute_bitmask(), np.uint8)
        self._check()
        return np.unpackbits(bits, count=self._size, bitorder="little").view(np.bool_)

    def accept(self, token: int) -> None:
        """The output goes on with this token, which is allowed.

        Raises:
            InvalidRequest: the constraint is too complex to be followed further.
        """
        if token not in self.end_ids:
            self._state.consume_token(token)
            self._check()

    def replay(self, output: Sequence[int]) -> None:
        """The output begins with these tokens.

        Raises:
            InvalidRequest: the constraint does not allow it.
        """
        for token in output:
            if not self.allows(token):
                raise InvalidRequest(
                    "The output to be continued is not one that the request's "
                    f"{NOUNS[self._constraint.kind]} allows.",
                    param=self._constraint.field,
                )
            self.accept(token)

    def nothing_left(self) -> InvalidRequest:
        """The error where no allowed token is possible."""
        return InvalidRequest(
            f"The {NOUNS[self._constraint.kind]} and the request's other parameters together leave "
            f"no token of this model to go on with. Allow more in {self._constraint.field}, or "
            "leave the other parameters out.",
            param=self._constraint.field,
        )

    def _check(self) -> None:
        if self._state.is_error():
            raise refused(
                self._constraint,
                f"is too complex to be followed: {first_line(self._state.get_error())}",
                "Write it so that a text can be read in fewer ways.",
            )


def first_line(text: str) -> str:
    """Of what llguidance says."""
    return text.strip().partition("\n")[0].rstrip(".")
