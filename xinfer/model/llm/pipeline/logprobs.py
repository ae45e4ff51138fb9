"""Log-probabilities that wait for the text of their tokens."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from xinfer.model.engine import Logprob
from xinfer.types.event import TokenLogprob


class HeldLogprobs:
    """Lets a token's log-probability go with the text that has the token's first character.

    Args:
        pieces: the bytes of each token of the vocabulary.
        start: characters of the text before the first token.
    """

    __slots__ = ("_decoded", "_delivered", "_held", "_pieces")

    def __init__(self, pieces: Sequence[bytes], start: int = 0) -> None:
        self._pieces = pieces
        self._decoded = start
        self._delivered = 0
        self._held: deque[tuple[int, TokenLogprob]] = deque()

    def add(self, token: int, logprob: Logprob, characters: int) -> None:
        """Take the next token, with which this many characters became complete."""
        pieces = self._pieces
        top = tuple([(pieces[other], value) for other, value in logprob.top])
        entry = TokenLogprob(pieces[token], logprob.logprob, top)
        self._held.append((self._decoded, entry))
        self._decoded += characters

    def take(self, characters: int) -> tuple[TokenLogprob, ...]:
        """Those that go with the next delivery, of this many characters."""
        self._delivered += characters
        ready = []
        while self._held and self._held[0][0] < self._delivered:
            ready.append(self._held.popleft()[1])
        return tuple(ready)

    def take_all(self) -> tuple[TokenLogprob, ...]:
        """Those that go with the last delivery, which nothing was cut off from."""
        ready = tuple([entry for _, entry in self._held])
        self._held.clear()
        return ready
