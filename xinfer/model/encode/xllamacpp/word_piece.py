"""BERT's tokenizer of a GGUF file, which knows no word that is too long."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llm.tokenizer.pieces import CONTROL

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_SPACE = "\u2581"
_PREFIX = "##"
_LONGEST_WORD = 1024
"""Characters of a word for `tokenizers`, which looks for each piece from the end of the word on."""
_RUN = re.compile(r"[^ \t\n\r!-/:-@\[-`{-~\u4e00-\u9fff]{65,}")
"""What may hold a longer word, also once its characters are taken apart: before and after it a word
ends, whatever it is."""
_AT_ONCE = 1 << 12
"""Characters that are normalised without letting other threads run."""


class WordPiece:
    """Text to ids, in a time that grows as its length; thread-safe.

    Args:
        ids: of pieces; one that goes on begins with `##`.
        control: tokens that are recognised where they should be.
    """

    def __init__(self, ids: dict[str, int], unknown: str, control: list[str]) -> None:
        from tokenizers import AddedToken

        self._ids = ids
        self._unknown = ids[unknown]
        self._longest = max(map(len, ids))
        self._plain, self._special = _bert(ids, unknown), _bert(ids, unknown)
        self._special.add_special_tokens(
            [AddedToken(text, normalized=False, special=True) for text in control]
        )
        self._words_around = cache(self._count_around)

    def __call__(self, text: str, special: bool) -> list[int]:
        found: list[int] = []
        end = 0
        for run in _RUN.finditer(text):
            found += self._encoded(text[end : run.start()], special)
            found += self._long(run.group())
            end = run.end()
        return found + self._encoded(text[end:], special)

    def _encoded(self, text: str, special: bool) -> list[int]:
        tokenizer = self._special if special else self._plain
        # Other than `encode`, this lets other threads run.
        [made] = tokenizer.encode_batch_fast([text], add_special_tokens=False)
        ids: list[int] = made.ids
        return ids

    def _long(self, run: str) -> list[int]:
        normalise = self._plain.normalizer.normalize_str
        pieces = [run[at : at + _AT_ONCE] for at in range(0, len(run), _AT_ONCE)]
        ids: list[int] = []
        word: list[str] = []
        for character in "".join(map(normalise, pieces)):
            words = self._words_around(character)
            if words == 1:
                word.append(character)
                continue
            ids += self._word("".join(word))
            word.clear()
            if words == 3:
                ids += self._word(character)
        return ids + self._word("".join(word))

    def _count_around(self, character: str) -> int:
        """Words in it between two letters: 2 if it is a space, 3 if it is a word by itself."""
        return len(self._plain.pre_tokenizer.pre_tokenize_str(f"a{character}a"))

    def _word(self, word: str) -> list[int]:
        """The longest piece first, then the longest behind it, and so on."""
        ids: list[int] = []
        start = 0
        while start < len(word):
            prefix = _PREFIX if start else ""
            for end in range(min(len(word), start + self._longest), start, -1):
                token = self._ids.get(prefix + word[start:end])
                if token is not None:
                    break
            else:
                return [self._unknown]
            ids.append(token)
            start = end
        return ids


def word_piece(gguf: GgufMetadata) -> WordPiece | None:
    """Of a file, where a token that begins a word is marked, instead of one that goes on.

    None for a file that has a token in both ways.
    """
    values = gguf.values
    types = values["tokenizer.ggml.token_type"]
    tokens = values["tokenizer.ggml.tokens"]
    ids: dict[str, int] = {}
    for number, (text, kind) in enumerate(zip(tokens, types, strict=True)):
        begins = text.startswith(_SPACE)
        piece = text[1:] if begins else text if kind == CONTROL else _PREFIX + text
        if piece in ids:
            return None
        ids[piece] = number
    unknown = tokens[values.get("tokenizer.ggml.unknown_token_id", 100)]
    control = [text for text, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    return WordPiece(ids, unknown, control)


def _bert(ids: dict[str, int], unknown: str) -> Tokenizer:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(
        models.WordPiece(
            vocab=ids,
            unk_token=unknown,
            continuing_subword_prefix=_PREFIX,
            max_input_chars_per_word=_LONGEST_WORD,
        )
    )
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer
