"""Bytes of tokens to text, character by character."""

from __future__ import annotations

from codecs import utf_8_decode


class Detokenizer:
    """Joins the bytes of tokens; keeps those of an unfinished character until it is complete.

    All text it gives, joined, is what `bytes.decode("utf-8", "replace")` makes of all the bytes.
    """

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> str:
        """The characters that are complete now."""
        data = self._rest + piece if self._rest else piece
        text, used = utf_8_decode(data, "replace", False)
        self._rest = data[used:]
        return text

    def flush(self) -> str:
        """The end: U+FFFD for a character that was never completed, else nothing."""
        text, _ = utf_8_decode(self._rest, "replace", True)
        self._rest = b""
        return text
