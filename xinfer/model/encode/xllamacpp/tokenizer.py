"""The tokenizer of a model in a GGUF file: by `tokenizers` where that equals llama.cpp's own."""

from __future__ import annotations

import logging

from xinfer.errors import InvalidRequest
from xinfer.model.encode.gguf_engine import WORD_PIECE
from xinfer.model.encode.prompts import LlamaTokenizer, SpecialTokens
from xinfer.model.encode.xllamacpp.word_piece import word_piece
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llm.tokenizer.pieces import BYTE_LEVEL, CONTROL, SENTENCEPIECE, Vocabulary
from xinfer.model.llm.tokenizer.selfcheck import Encode, first_difference

logger = logging.getLogger(__name__)

_CHECKED_CONTROL_TOKENS = 16
_SEPARATED = ("jina-v1-en", "jina-v2-code", "roberta-bpe")
"""`tokenizer.ggml.pre` of those that separate a pair by a token of its own."""


class GgufEncodeTokenizer:
    """Ids of texts, exactly as llama.cpp has them.

    `native` tells that llama.cpp's own, 0.3 ms a call, is not needed any more.

    Raises:
        InvalidRequest: the vocabulary cannot be used; llama.cpp would end the process over it.
    """

    def __init__(self, gguf: GgufMetadata, own: LlamaTokenizer) -> None:
        self._gguf = gguf
        empty, full = own.tokenize("", True, prefix=True), own.tokenize("a", True, prefix=True)
        plain = own.tokenize("a", True)
        start = next(at for at in range(len(full)) if full[at : at + len(plain)] == plain)
        self._before, self._after = full[:start], full[start + len(plain) :]
        self._encode: Encode = own.tokenize
        native = _native(gguf)
        around_empty = empty == self._before + self._after
        if native is not None and around_empty and _equal(gguf, native, own.tokenize):
            self._encode = native
        self.native = self._encode is native

    def tokenize(self, text: str, special: bool, *, prefix: bool = False) -> list[int]:
        ids = self._encode(text, special)
        return [*self._before, *ids, *self._after] if prefix else ids

    def special_tokens(self) -> SpecialTokens:
        """What stands before, between and after the two texts of a pair.

        Raises:
            InvalidRequest: the file asks for a token that it does not have.
        """
        values = self._gguf.values
        word_piece = values.get("tokenizer.ggml.model") == WORD_PIECE
        add_bos = values.get("tokenizer.ggml.add_bos_token", word_piece or bool(self._before))
        add_eos = values.get("tokenizer.ggml.add_eos_token", not word_piece and bool(self._after))
        separated = word_piece or values.get("tokenizer.ggml.pre") in _SEPARATED
        add_sep = values.get("tokenizer.ggml.add_sep_token", separated)
        sep = self._id("seperator", 102 if word_piece else None)
        eos = self._id("eos", None if word_piece else self._after[-1] if self._after else None)
        end = [sep if eos is None else eos] if add_eos else []
        bos = [self._id("bos", self._before[0] if self._before else None)] if add_bos else []
        between = [*end, *([sep] if add_sep else [])]
        return SpecialTokens(*(self._checked(ids) for ids in (bos, between, end)))

    def _id(self, name: str, default: int | None) -> int | None:
        value = self._gguf.values.get(f"tokenizer.ggml.{name}_token_id", default)
        return value if isinstance(value, int) else default

    def _checked(self, ids: list[int | None]) -> list[int]:
        known = [token for token in ids if token is not None]
        size = len(self._gguf.values.get("tokenizer.ggml.tokens", []))
        if len(known) != len(ids) or any(token >= size for token in known):
            raise InvalidRequest(
                f"{self._gguf.path} cannot be used: its tokenizer puts a token around a pair of "
                "texts and does not have one. Convert the model again.",
                param="model_path",
            )
        return known


def _native(gguf: GgufMetadata) -> Encode | None:
    from xinfer.model.llm.tokenizer.encoder import build_encoder

    kind = gguf.values.get("tokenizer.ggml.model")
    try:
        if kind == WORD_PIECE:
            return word_piece(gguf)
        if kind in (BYTE_LEVEL, SENTENCEPIECE):
            return build_encoder(gguf, Vocabulary(gguf))
    except Exception as error:  # tokenizers raises bare Exceptions at vocabularies that do not fit
        logger.warning("Tokenizer %s cannot be built (%s); llama.cpp's own encodes", kind, error)
    return None


def _equal(gguf: GgufMetadata, native: Encode, own: Encode) -> bool:
    values = gguf.values
    tokens, types = values["tokenizer.ggml.tokens"], values.get("tokenizer.ggml.token_type", [])
    control = [text for text, kind in zip(tokens, types, strict=False) if kind == CONTROL]
    different = first_difference(native, own, control[:_CHECKED_CONTROL_TOKENS])
    if different is not None:
        logger.warning("llama.cpp's own tokenizer encodes: another differs on %r", different)
    return different is None
