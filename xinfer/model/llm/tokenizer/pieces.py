"""The piece table: the bytes that each token of a GGUF vocabulary stands for."""

from __future__ import annotations

import re
from collections.abc import Callable

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.gguf import GgufMetadata

BYTE_LEVEL, SENTENCEPIECE = "gpt2", "llama"
SPACE = "▁"

# Values of tokenizer.ggml.token_type.
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def byte_of_character() -> dict[str, int]:
    """GPT-2's byte-level alphabet: printable bytes are themselves, the others follow U+0100."""
    table = {}
    moved = 256
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or 174 <= byte <= 255:
            table[chr(byte)] = byte
        else:
            table[chr(moved)] = byte
            moved += 1
    return table


class Vocabulary:
    """Tokens of a GGUF file. `pieces[i]` is what token i looks like, control tokens included.

    Args:
        engine_pieces: the engine's own table, for kinds that are not read here.

    Raises:
        InvalidRequest: the file has no vocabulary, or one of a kind that nobody here reads.
    """

    def __init__(
        self, gguf: GgufMetadata, engine_pieces: Callable[[], list[bytes]] | None = None
    ) -> None:
        values = gguf.values
        self.kind = str(values.get("tokenizer.ggml.model", "none"))
        self.tokens: list[str] = values.get("tokenizer.ggml.tokens", [])
        self.types: list[int] = values.get("tokenizer.ggml.token_type", [])
        self.types = self.types or [NORMAL] * len(self.tokens)
        if not self.tokens or len(self.types) != len(self.tokens):
            raise InvalidRequest(
                f"{gguf.path} has no usable vocabulary: {len(self.tokens)} tokens and "
                f"{len(self.types)} token types."
            )
        if self.kind in {BYTE_LEVEL, SENTENCEPIECE}:
            self.pieces = self._pieces()
        elif engine_pieces is not None:
            self.pieces = engine_pieces()
        else:
            raise InvalidRequest(
                f"{gguf.path} has a tokenizer of kind {self.kind!r}, which this engine does not "
                f"read; it reads {BYTE_LEVEL} and {SENTENCEPIECE}."
            )

    def ids_of_type(self, kind: int) -> list[int]:
        return [token for token, of in enumerate(self.types) if of == kind]

    def _pieces(self) -> list[bytes]:
        normal = byte_level_piece if self.kind == BYTE_LEVEL else _sentencepiece_piece
        return [
            normal(text) if kind == NORMAL else _other_piece(text, kind)
            for text, kind in zip(self.tokens, self.types, strict=True)
        ]


_BYTES = byte_of_character()


def byte_level_piece(text: str) -> bytes:
    """What a token in GPT-2's byte-level alphabet stands for."""
    try:
        return bytes(map(_BYTES.__getitem__, text))
    except KeyError:  # not byte-level after all: it stands for itself
        return text.encode("utf-8", "surrogateescape")


def _sentencepiece_piece(text: str) -> bytes:
    return text.replace(SPACE, " ").encode("utf-8", "surrogateescape")


def byte_piece(text: str) -> bytes | None:
    """The byte that a token like <0x0A> stands for; None for every other token."""
    byte = _BYTE_PIECE.fullmatch(text)
    return bytes([int(byte[1], 16)]) if byte else None


def _other_piece(text: str, kind: int) -> bytes:
    single = byte_piece(text) if kind == BYTE else None
    if single is not None:
        return single
    return b"" if kind == UNUSED else text.encode("utf-8", "surrogateescape")
