"""WordPiece as BERT has it, over lower case: llama.cpp and tokenizers read it alike.

The vocabulary is put together rather than trained, so that it is the same each time: the words of
the lexicon are tokens, and others are spelled by their most frequent parts.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Iterable, Iterator

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from training.tiny_encoders.lexicon import LANGUAGES, all_words, parts, plain_words
from training.tiny_encoders.sentences import common_characters

PAD, UNKNOWN, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIAL = (PAD, UNKNOWN, CLS, SEP, MASK)
PREFIX = "##"
"""Of tokens that go on with a word."""
PUNCTUATION = string.punctuation + "，。？！：；、（）《》“”‘’…—·"
LETTERS = string.ascii_lowercase + string.digits
BEGINNINGS, PARTS = 250, 600  # numbers of frequent ones


def vocabulary() -> list[str]:
    """All tokens, in the order of their ids."""
    texts = " ".join(word for language in LANGUAGES for word in all_words(language))
    words = sorted({*re.findall("[a-z]+", texts), *plain_words()})
    begins, inner = Counter[str](), Counter[str](parts("syllables"))
    for word in words:
        for size in (2, 3, 4):
            begins[word[:size]] += 1
            inner.update(word[at : at + size] for at in range(1, len(word) - size + 1))
    tokens = [*SPECIAL, *PUNCTUATION, *LETTERS, *(PREFIX + letter for letter in LETTERS)]
    tokens += words + _most(begins, BEGINNINGS)
    tokens += [
        PREFIX + part for part in (*parts("endings"), *parts("syllables"), *_most(inner, PARTS))
    ]
    tokens += [*common_characters(), *(c for c in _characters(texts))]
    return list(dict.fromkeys(tokens))


def build_tokenizer() -> Tokenizer:
    ids = {token: number for number, token in enumerate(vocabulary())}
    tokenizer = Tokenizer(
        models.WordPiece(vocab=ids, unk_token=UNKNOWN, continuing_subword_prefix=PREFIX)
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=True, lowercase=True
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    # One type for both texts of a pair: llama.cpp knows no other.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B {SEP}",
        special_tokens=[(CLS, ids[CLS]), (SEP, ids[SEP])],
    )
    tokenizer.decoder = decoders.WordPiece(prefix=PREFIX)
    return tokenizer


def _most(counted: Counter[str], number: int) -> list[str]:
    return sorted(counted, key=lambda part: (-counted[part], part))[:number]


def _characters(texts: Iterable[str]) -> Iterator[str]:
    return (character for character in texts if "\u4e00" <= character <= "\u9fff")
