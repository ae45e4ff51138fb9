"""Texts and pairs in the model's tokens, all of a batch at once and on all cores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from xinfer.errors import InvalidRequest
from xinfer.model.encode.beginnings import word_ends
from xinfer.model.encode_engine import Encoded, Pair
from xinfer.model.llm.tokenizer.pieces import byte_level_piece

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


class Tokens:
    """The fast tokenizer of a Transformers tokenizer, without its truncation and padding;
    thread-safe.

    Args:
        tokenizer: Transformers'; nobody else may use it meanwhile.
        path: the model's, for messages.

    Raises:
        InvalidRequest: the model has none.
    """

    def __init__(self, tokenizer: Any, path: str) -> None:
        fast: Tokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
        if fast is None:
            raise InvalidRequest(
                f"{path} has no tokenizer.json, and none that one can be made of.",
                param="model_path",
            )
        fast.no_truncation()
        fast.no_padding()
        self._fast = fast
        self._plain = type(fast).from_str(fast.to_str())
        """The same, to which control tokens in a text are text."""
        self._plain.encode_special_tokens = True
        self.size = fast.get_vocab_size(with_added_tokens=True)
        self.padding: int = tokenizer.pad_token_id or 0
        self.second_type = 0
        """What the model is told of the tokens of a pair's document; 0 if nothing."""
        if "token_type_ids" in tokenizer.model_input_names:
            self.second_type = max(fast.encode("a", "a").type_ids)

    def texts(self, texts: Sequence[str]) -> list[Encoded]:
        """With special tokens around each."""
        found = self._fast.encode_batch_fast(list(texts))
        return [Encoded(one.ids, _inside(one, 0)) for one in found]

    def pairs(self, pairs: Sequence[Pair]) -> list[Encoded]:
        """With special tokens around and between."""
        found = self._fast.encode_batch_fast([(pair.query, pair.document) for pair in pairs])
        return [Encoded(one.ids, _inside(one, 1), pair=True) for one in found]

    def alone(self, texts: Sequence[str], *, control: bool) -> list[Encoding]:
        """Without special tokens around them.

        Args:
            control: recognise control tokens that they spell.
        """
        fast = self._fast if control else self._plain
        found: list[Encoding] = fast.encode_batch(list(texts), add_special_tokens=False)
        return found

    def token(self, text: str) -> int:
        """The id of a token by its name.

        Raises:
            InvalidRequest: there is none.
        """
        found: int | None = self._fast.token_to_id(text)
        if found is None:
            raise InvalidRequest(f"The model's vocabulary has no token {text!r}.")
        return found

    def word_ends(self) -> re.Pattern[str] | None:
        """As `beginnings.word_ends`; None also where a space is no end of a word."""
        if not all(self._parts_words(space) for space in " \n"):
            return None
        return word_ends(self._spelled())

    def _parts_words(self, space: str) -> bool:
        fast = self._fast
        text = f"a{space}b"
        if fast.normalizer is not None:
            text = fast.normalizer.normalize_str(text)
        between = text.partition("a")[2].rpartition("b")[0]
        if not between or between.strip(" \n▁"):
            return False  # it is left out, or made something else
        if type(fast.model).__name__ not in ("WordPiece", "WordLevel"):
            return True  # its tokens tell
        words = fast.pre_tokenizer.pre_tokenize_str(text) if fast.pre_tokenizer else [(text, None)]
        return not any("a" in word and "b" in word for word, _ in words)

    def _spelled(self) -> Iterator[str]:
        """All tokens as the text that they stand for, or with ▁ for a space."""
        vocabulary = self._fast.get_vocab(with_added_tokens=True)
        splits = self._fast.pre_tokenizer
        if splits is None or b'"ByteLevel"' not in splits.__getstate__():
            yield from vocabulary
            return
        for token in vocabulary:
            yield byte_level_piece(token).decode(errors="replace")

    def spell(self, ids: Sequence[int]) -> list[str]:
        """As `SpellingEngine.spell`."""
        spelled = []
        for token in ids:
            text = self._fast.id_to_token(token) if 0 <= token < self.size else None
            if text is None:
                raise InvalidRequest(
                    f"The model has no token {token}; its ids are 0 to {self.size - 1}.",
                    param="input",
                )
            spelled.append(text)
        return spelled


def _inside(one: Encoding, sequence: int) -> tuple[int, int]:
    """Where the text of this number lies between the special tokens."""
    ids = one.sequence_ids
    if sequence not in ids:  # nothing of it is left: before the last special token
        end = len(ids) - 1 if ids and ids[-1] is None else len(ids)
        return end, end
    start = ids.index(sequence)
    return start, len(ids) - ids[::-1].index(sequence)
