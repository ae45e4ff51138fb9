"""Prompts for a text between two others (fill-in-the-middle), for models trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xinfer.errors import InvalidRequest
from xinfer.model.engine import Tokenizer

NAMED = ("fim_pre_token", "fim_suf_token", "fim_mid_token")
"""What a tokenizer's special tokens call them, where the model's file names them."""

SPELLINGS = (
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),  # Qwen-Coder, CodeGemma
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),  # StarCoder, Granite
    ("<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>"),  # DeepSeek-Coder
)
"""What stands before the text before, before the text behind, and before what is filled in."""

ENDS = ("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>")
"""Tokens that Qwen-Coder ends what it fills in with, besides those that end a text."""


@dataclass(frozen=True)
class Infill:
    """The tokens that a model was trained on to fill in text, and those that it ends with."""

    before: int
    behind: int
    middle: int
    stop_ids: frozenset[int]

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Infill | None:
        """Those of a model, by what its file names, else by how they are spelled; None where it
        has none."""
        named = tuple(tokenizer.special_tokens.get(name, "") for name in NAMED)
        for spelling in (named, *SPELLINGS):
            ids = [_token(tokenizer, text) for text in spelling]
            known = [token for token in ids if token is not None]
            if len(set(known)) == len(ids):
                ends = [_token(tokenizer, text) for text in ENDS]
                stop_ids = frozenset(known) | {token for token in ends if token is not None}
                before, behind, middle = known
                return cls(before, behind, middle, stop_ids)
        return None

    def prompt(
        self, prefix: Sequence[int], before: Sequence[int], behind: Sequence[int]
    ) -> list[int]:
        """The prompt that is continued with what stands between `before` and `behind`.

        Args:
            prefix: what every plain prompt begins with.
        """
        return [*prefix, self.before, *before, self.behind, *behind, self.middle]


def no_infill(model: str) -> InvalidRequest:
    """The refusal of `suffix` for a model that cannot."""
    return InvalidRequest(
        f"`suffix` is not supported by {model}: it has no tokens for filling in text between two "
        "others, as Qwen-Coder, StarCoder and DeepSeek-Coder have. Leave `suffix` out, or use such "
        "a model.",
        code="unsupported_parameter",
        param="suffix",
    )


def _token(tokenizer: Tokenizer, text: str) -> int | None:
    """The one token that a text is, if it is one that users' text is not made of."""
    ids = tokenizer.encode(text, special=True) if text else []
    return ids[0] if len(ids) == 1 else None
