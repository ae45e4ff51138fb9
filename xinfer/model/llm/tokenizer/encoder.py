"""Builds a `tokenizers` encoder from a GGUF vocabulary, for the kinds known to come out equal."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llm.tokenizer.pieces import (
    BYTE,
    BYTE_LEVEL,
    CONTROL,
    NORMAL,
    SPACE,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Vocabulary,
)

_CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|"
_REST = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_QWEN2 = _CONTRACTIONS + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*" + _REST
_QWEN35 = (
    _CONTRACTIONS + r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + _REST
)
_LLAMA3 = _CONTRACTIONS + r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*" + _REST

PATTERNS: dict[str, tuple[str, ...]] = {
    "qwen2": (_QWEN2,),
    "deepseek-r1-qwen": (_QWEN2,),
    "qwen35": (_QWEN35,),
    "llama-bpe": (_LLAMA3,),
    "gpt-2": (_GPT2,),
    "mpt": (_GPT2,),
    "starcoder": (r"\p{N}", _GPT2),
    "refact": (r"\p{N}", _GPT2),
    "command-r": (r"\p{N}", _GPT2),
}
"""`tokenizer.ggml.pre` → the patterns that cut a text before its merges."""

WHOLE_WORDS = {"llama-bpe"}
"""Those where a piece that is in the vocabulary is taken whole, whatever the merges say."""


class Encoder:
    """Text to ids; thread-safe."""

    def __init__(self, plain: Tokenizer, special: Tokenizer) -> None:
        self._plain = plain
        self._special = special

    def __call__(self, text: str, special: bool) -> list[int]:
        tokenizer = self._special if special else self._plain
        # Other than `encode`, this lets other threads run: a long text takes seconds.
        [made] = tokenizer.encode_batch_fast([text], add_special_tokens=False)
        ids: list[int] = made.ids
        return ids


def build_encoder(gguf: GgufMetadata, vocabulary: Vocabulary) -> Encoder | None:
    """An encoder for this vocabulary, or None where it is not one of the known kinds."""
    if not _is_text(vocabulary.tokens):
        return None
    byte_level = vocabulary.kind == BYTE_LEVEL
    if byte_level and gguf.values.get("tokenizer.ggml.pre") not in PATTERNS:
        return None
    tokenizers = (
        _byte_level_tokenizers(gguf, vocabulary)
        if byte_level
        else _sentencepiece_tokenizers(gguf, vocabulary)
    )
    if tokenizers is None:
        return None
    plain, special = tokenizers
    defined = [
        AddedToken(vocabulary.tokens[token], normalized=False)
        for token in vocabulary.ids_of_type(USER_DEFINED)
    ]
    control = [
        AddedToken(vocabulary.tokens[token], normalized=False, special=True)
        for token in (*vocabulary.ids_of_type(CONTROL), *vocabulary.ids_of_type(UNKNOWN))
    ]
    plain.add_tokens(defined)
    special.add_tokens(defined)
    special.add_special_tokens(control)
    return Encoder(plain, special)


def _byte_level_tokenizers(
    gguf: GgufMetadata, vocabulary: Vocabulary
) -> tuple[Tokenizer, Tokenizer] | None:
    pre = gguf.values["tokenizer.ggml.pre"]
    merges = gguf.values.get("tokenizer.ggml.merges")
    if not merges:
        return None
    model = models.BPE(
        vocab=_ids(vocabulary),
        merges=[tuple(merge.split(" ", 1)) for merge in merges],
        ignore_merges=pre in WHOLE_WORDS,
    )
    cut = pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PATTERNS[pre]),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    both = Tokenizer(model), Tokenizer(model)
    for tokenizer in both:
        tokenizer.pre_tokenizer = cut
    return both


def _sentencepiece_tokenizers(
    gguf: GgufMetadata, vocabulary: Vocabulary
) -> tuple[Tokenizer, Tokenizer] | None:
    scores = gguf.values.get("tokenizer.ggml.scores", [])
    if len(scores) != len(vocabulary.tokens) or not vocabulary.ids_of_type(BYTE):
        return None
    unknown = gguf.values.get("tokenizer.ggml.unknown_token_id", 0)
    model = models.BPE(
        vocab=_ids(vocabulary),
        merges=_merges_by_score(vocabulary, scores),
        unk_token=vocabulary.tokens[unknown],
        fuse_unk=True,
        byte_fallback=True,
    )
    steps: list[Any] = [normalizers.Replace(" ", SPACE)]
    if gguf.values.get("tokenizer.ggml.add_space_prefix", True):
        steps.insert(0, normalizers.Prepend(SPACE))
    both = Tokenizer(model), Tokenizer(model)
    for tokenizer in both:
        tokenizer.normalizer = normalizers.Sequence(steps)
    return both


def _is_text(tokens: list[str]) -> bool:
    try:
        "".join(tokens).encode()
    except UnicodeEncodeError:  # pieces that were not UTF-8 in the file
        return False
    return True


def _ids(vocabulary: Vocabulary) -> dict[str, int]:
    return {token: number for number, token in enumerate(vocabulary.tokens)}


def _merges_by_score(vocabulary: Vocabulary, scores: list[float]) -> list[tuple[str, str]]:
    """Every way to put a token together from two others, the best-scored token first."""
    ids = _ids(vocabulary)
    mergeable = (NORMAL, USER_DEFINED, UNUSED)
    merges = []
    for word, token in ids.items():
        if vocabulary.types[token] not in mergeable:
            continue
        for cut in range(1, len(word)):
            left, right = ids.get(word[:cut]), ids.get(word[cut:])
            if left is not None and right is not None:
                merges.append((-scores[token], left, right, word[:cut], word[cut:]))
    merges.sort()
    return [(left, right) for *_, left, right in merges]
