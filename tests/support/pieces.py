"""A tokenizer that is a list of pieces."""

from __future__ import annotations

from collections.abc import Collection, Sequence


class PieceTokenizer:
    """A token for each piece; text is encoded byte by byte.

    Args:
        pieces: the bytes of every token, those of a single byte among them.
        eos_ids: tokens that end a text.
    """

    chat_template: str | None = None
    special_tokens: dict[str, str] = {}

    def __init__(self, pieces: Sequence[bytes], eos_ids: Collection[int]) -> None:
        self._pieces = list(pieces)
        self.eos_ids = frozenset(eos_ids)

    def encode(self, text: str, *, special: bool) -> list[int]:
        return [self._pieces.index(bytes([byte])) for byte in text.encode()]

    def prompt_prefix(self) -> list[int]:
        return []

    def piece(self, token: int) -> bytes:
        if token < 0:
            raise IndexError(token)
        return self._pieces[token]

    @property
    def vocabulary_size(self) -> int:
        return len(self._pieces)
