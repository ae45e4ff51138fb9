"""The tokenizer: byte-level BPE behind Qwen2's pre-tokenizer, which every engine can load.

Merges never join a letter with the space or mark before it, except for a few hundred common words.
A value therefore has the same tokens in a sentence and in JSON, which lets a small model copy it.
Chinese is merged within characters only, for the same reason.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

QWEN2_PATTERN = (
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# One Chinese character, a run of other letters, a digit, or punctuation with the space before it.
MERGE_PATTERN = r"\p{Han}|[\p{L}&&\P{Han}]+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+"
SPACED_WORD = re.compile(r"(?<= )[A-Za-z]{1,12}(?=[ ,.:;?!])")
SPACE = "Ġ"

END_OF_TEXT = "<|endoftext|>"
MESSAGE_START = "<|im_start|>"
MESSAGE_END = "<|im_end|>"
CONTROL_TOKENS = (END_OF_TEXT, MESSAGE_START, MESSAGE_END)
USER_TOKENS = (
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
    "<think>",
    "</think>",
)


def train_tokenizer(texts: Sequence[str], vocab_size: int, spaced_words: int) -> Tokenizer:
    """Train a vocabulary of at most ``vocab_size`` tokens on ``texts``.

    The ``spaced_words`` most frequent words that are one token also get a token with their space.
    """
    learned = vocab_size - len(CONTROL_TOKENS) - len(USER_TOKENS) - spaced_words
    base = Tokenizer(models.BPE())
    base.pre_tokenizer = _byte_level(MERGE_PATTERN)
    trainer = trainers.BpeTrainer(
        vocab_size=learned,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    base.train_from_iterator(texts, trainer)
    model = json.loads(base.to_str())["model"]
    vocab: dict[str, int] = model["vocab"]
    merges = [(left, right) for left, right in model["merges"]]

    counts = Counter(word for text in texts for word in SPACED_WORD.findall(text))
    words = [word for word, _ in counts.most_common() if word in vocab][:spaced_words]
    for word in words:
        vocab[SPACE + word] = len(vocab)
        merges.append((SPACE, word))
    return build_tokenizer(vocab, merges)


def build_tokenizer(vocab: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """Assemble the tokenizer; the control and user tokens follow the vocabulary."""
    tokenizer = Tokenizer(models.BPE(vocab, merges))
    tokenizer.pre_tokenizer = _byte_level(QWEN2_PATTERN)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([_token(text, special=True) for text in CONTROL_TOKENS])
    tokenizer.add_tokens([_token(text, special=False) for text in USER_TOKENS])
    return tokenizer


def _byte_level(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _token(text: str, *, special: bool) -> AddedToken:
    return AddedToken(text, special=special, normalized=False)
