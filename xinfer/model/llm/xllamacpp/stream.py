"""Token ids out of llama.cpp's stream.

A chunk names only the last token it holds: a token that ends inside a character gets no chunk of
its own but is held back until the character is whole. The chunk's count tells how many tokens
there were and its text what they spell, so the held ones are found again in the piece table.
Text loses bytes that are no character; the exact bytes come with `EXACT_BYTES`, which costs a
sort of the whole vocabulary for each token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

REPLACEMENT = "\ufffd"

STREAM: dict[str, Any] = {"verbose": True, "return_progress": True}
"""What a request must ask for: ids, and progress during the prompt, where it is the only chance
to cancel."""
EXACT_BYTES: dict[str, Any] = {"n_probs": 1, "post_sampling_probs": True}
"""What it must ask for besides where the text does not tell."""


class Unreadable(Exception):
    """The chunk's text does not tell which tokens it holds."""


class PieceIndex:
    """Tokens by the bytes they stand for; one for each loaded model."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = pieces
        self._ids: dict[bytes, int] = {}
        self._longest = 0

    def find(self, data: bytes) -> int | None:
        """The first token that is exactly these bytes. Builds the index on first use."""
        if not self._ids:
            self._ids = {
                piece: len(self.pieces) - back
                for back, piece in enumerate(reversed(self.pieces), start=1)
                if piece
            }
            self._longest = max(map(len, self._ids))
        return self._ids.get(data)

    def split(self, data: bytes, count: int) -> list[int] | None:
        """`data` as exactly `count` tokens, each of which was held back; None if impossible.

        Where several ways exist the one with the longest first token is taken, which is what a
        tokenizer would have made of the text.
        """
        dead: set[tuple[int, int]] = set()

        def search(start: int, left: int) -> list[int] | None:
            if left == 0:
                return [] if start == len(data) else None
            if (start, left) in dead:
                return None
            for end in range(len(data) - left + 1, start, -1):
                token = self.find(data[start:end]) if ends_inside_character(data[:end]) else None
                if token is not None and (rest := search(end, left - 1)) is not None:
                    return [token, *rest]
            dead.add((start, left))
            return None

        return search(0, count)


def ends_inside_character(data: bytes) -> bool:
    """Whether llama.cpp holds a text back that ends like this.

    It looks for a leading byte among the last four, whatever follows it.
    """
    for back, byte in enumerate(reversed(data[-3:]), start=1):
        if byte >= 0xF0 and byte < 0xF8:
            return back < 4
        if byte & 0xF0 == 0xE0 and back < 3:
            return True
        if byte & 0xE0 == 0xC0 and back < 2:
            return True
    return False


class IdStream:
    """The ids of one stream, chunk by chunk."""

    def __init__(self, index: PieceIndex) -> None:
        self._index = index
        self.count = 0
        """Tokens seen so far."""

    def feed(self, chunk: dict[str, Any]) -> list[int]:
        """Ids of all the tokens in a chunk.

        Raises:
            Unreadable: they cannot be told. The stream is of no more use.
        """
        details = chunk["__verbose"]
        token: int = details["tokens"][0]
        new = details["tokens_predicted"] - self.count
        self.count = details["tokens_predicted"]
        if new == 1:
            return [token]
        data = _spelled(chunk["choices"][0])
        last = self._index.pieces[token]
        if not data.endswith(last):
            raise Unreadable(f"token {token} does not end {data!r}")
        held = self._index.split(data[: len(data) - len(last)], new - 1)
        if held is None:
            raise Unreadable(f"no {new} tokens spell {data!r}")
        return [*held, token]


def _spelled(choice: dict[str, Any]) -> bytes:
    if choice["logprobs"] is not None:
        return bytes(choice["logprobs"]["content"][0]["bytes"])
    text: str = choice["text"]
    if REPLACEMENT in text:
        raise Unreadable(f"{text!r} has lost bytes")
    return text.encode()
