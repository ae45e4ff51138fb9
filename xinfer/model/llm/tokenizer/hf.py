"""The tokenizer of a model's own files, as the pipeline wants it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer as Tokenizers

from xinfer.errors import InvalidRequest
from xinfer.model.llm.tokenizer.pieces import SPACE, byte_of_character, byte_piece

_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token")


class HfTokenizer:
    """A tokenizer of Transformers that is backed by the library tokenizers; thread-safe.

    Args:
        tokenizer: what AutoTokenizer loaded.
        eos_ids: tokens that end an output, besides the tokenizer's own.
        vocabulary_size: rows of the model's output; more than the tokenizer knows, often.

    Raises:
        InvalidRequest: it is not backed by that library.
    """

    def __init__(self, tokenizer: Any, *, eos_ids: frozenset[int], vocabulary_size: int) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise InvalidRequest(
                f"The model's tokenizer ({type(tokenizer).__name__}) is one written in Python; "
                "expected one with a tokenizer.json, or that Transformers can convert into it.",
                param="model_path",
            )
        text = backend.to_str()
        self._special = Tokenizers.from_str(text)
        self._plain = Tokenizers.from_str(text)
        self._plain.encode_special_tokens = True
        for each in (self._special, self._plain):
            each.no_padding()
            each.no_truncation()
        own = getattr(tokenizer, "eos_token_id", None)
        self.eos_ids = eos_ids if own is None else eos_ids | {own}
        self.vocabulary_size = vocabulary_size
        self.chat_template = _template(tokenizer)
        self.special_tokens = {
            name: str(value) for name in _SPECIAL if (value := getattr(tokenizer, name, None))
        }
        self._pieces = _pieces(json.loads(text), vocabulary_size)
        self._prefix = self._find_prefix()

    def encode(self, text: str, *, special: bool) -> list[int]:
        tokenizer = self._special if special else self._plain
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def prompt_prefix(self) -> list[int]:
        return self._prefix

    def piece(self, token: int) -> bytes:
        if token < 0:
            raise IndexError(token)
        return self._pieces[token]

    def _find_prefix(self) -> list[int]:
        bare = self._special.encode("a", add_special_tokens=False).ids
        whole = self._special.encode("a", add_special_tokens=True).ids
        for start in range(len(whole) - len(bare) + 1):
            if whole[start : start + len(bare)] == bare:
                return list(whole[:start])
        return []


def load_tokenizer(
    path: Path, *, eos_ids: frozenset[int], vocabulary_size: int, code: bool = False
) -> HfTokenizer:
    """The tokenizer of a model's directory.

    Args:
        code: run the program code that comes with it.

    Raises:
        InvalidRequest: it has none, or one that cannot be read.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=code
        )
    except Exception as error:  # whatever the files make the library raise
        raise InvalidRequest(
            f"The tokenizer in {path} cannot be read: {error}", param="model_path"
        ) from error
    return HfTokenizer(tokenizer, eos_ids=eos_ids, vocabulary_size=vocabulary_size)


def _template(tokenizer: Any) -> str | None:
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default")
    return template if isinstance(template, str) else None


def _pieces(tokenizer: dict[str, Any], size: int) -> list[bytes]:
    """What each token stands for; nothing for control tokens, and for ids without a token."""
    model = tokenizer["model"]
    vocabulary = model["vocab"]
    if isinstance(vocabulary, list):  # Unigram: pairs of a text and its score
        vocabulary = {text: number for number, (text, _) in enumerate(vocabulary)}
    byte_level = "ByteLevel" in json.dumps(tokenizer.get("decoder") or {})
    pieces = [b""] * size
    table = byte_of_character()
    for text, token in vocabulary.items():
        if token < size:
            pieces[token] = _byte_level(text, table) if byte_level else _spaced(text, model)
    for added in tokenizer.get("added_tokens", []):
        if added["id"] < size:
            pieces[added["id"]] = b"" if added["special"] else added["content"].encode()
    return pieces


def _byte_level(text: str, table: dict[str, int]) -> bytes:
    try:
        return bytes(map(table.__getitem__, text))
    except KeyError:  # not byte-level after all: it stands for itself
        return text.encode()


def _spaced(text: str, model: dict[str, Any]) -> bytes:
    single = byte_piece(text) if model.get("byte_fallback") else None
    return text.replace(SPACE, " ").encode() if single is None else single
