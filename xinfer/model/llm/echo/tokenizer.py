"""A tokenizer whose tokens are the bytes of UTF-8."""

from __future__ import annotations

END_OF_TEXT = 256

_PIECES = (*(bytes((value,)) for value in range(END_OF_TEXT)), b"")


class ByteTokenizer:
    """Ids 0 to 255 are bytes, 256 ends the text. No text is read as a control token."""

    eos_ids: frozenset[int] = frozenset({END_OF_TEXT})
    chat_template: str | None = "{{ messages[-1]['content'] }}"
    special_tokens: dict[str, str] = {}

    def encode(self, text: str, *, special: bool) -> list[int]:
        return list(text.encode())

    def prompt_prefix(self) -> list[int]:
        return []

    def piece(self, token: int) -> bytes:
        if token < 0:
            raise IndexError(f"There is no token {token}; ids go from 0 to {END_OF_TEXT}.")
        return _PIECES[token]

    @property
    def vocabulary_size(self) -> int:
        return len(_PIECES)
