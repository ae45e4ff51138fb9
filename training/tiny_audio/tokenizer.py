"""The tokenizer of tiny-whisper: bytes, a token for each word, and Whisper's control tokens."""

from __future__ import annotations

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from training.tiny_audio.words import NUMERALS, WORDS

END, START = "<|endoftext|>", "<|startoftranscript|>"
TRANSLATE, TRANSCRIBE = "<|translate|>", "<|transcribe|>"
START_OF_LM, PREVIOUS = "<|startoflm|>", "<|startofprev|>"
NO_SPEECH, NO_TIMESTAMPS = "<|nospeech|>", "<|notimestamps|>"
LANGUAGES = tuple(WORDS)
TIMES = 1501
"""0 to 30 seconds in steps of 0.02."""


def language_token(language: str) -> str:
    """The token that says what language is spoken."""
    return f"<|{language}|>"


def special_tokens() -> list[str]:
    """Control tokens, in the order of their ids."""
    languages = [language_token(one) for one in LANGUAGES]
    tasks = (TRANSLATE, TRANSCRIBE)
    return [END, START, *languages, *tasks, START_OF_LM, PREVIOUS, NO_SPEECH, NO_TIMESTAMPS]


def build_tokenizer() -> Tokenizer:
    """Words with the space before them are one token each; everything else is bytes."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: index for index, symbol in enumerate(alphabet)}
    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    merges: list[tuple[str, str]] = []
    for word in (*WORDS["en"], *WORDS["de"], *NUMERALS):
        [(symbols, _)] = split.pre_tokenize_str(f" {word}")
        for end in range(1, len(symbols)):
            left, right = symbols[:end], symbols[end]
            if left + right not in vocabulary:
                vocabulary[left + right] = len(vocabulary)
                merges.append((left, right))
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(one, special=True) for one in special_tokens()])
    # As Whisper has them: not special to the tokenizer, which writes them where it is asked to.
    times = [f"<|{index * 0.02:.2f}|>" for index in range(TIMES)]
    tokenizer.add_tokens([AddedToken(one, special=False) for one in times])
    return tokenizer
