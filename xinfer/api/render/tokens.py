"""Answers of /tokenize and /detokenize, in vLLM's shape."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

_encode = msgspec.json.Encoder().encode


def tokens_of_text(
    ids: Sequence[int], names: Sequence[str] | None, *, context_length: int
) -> bytes:
    """Ids, and what each is called where that was asked for."""
    return _encode(
        {
            "count": len(ids),
            "max_model_len": context_length,
            "tokens": ids,
            "token_strs": names,
        }
    )


def text_of_tokens(text: str) -> bytes:
    return _encode({"prompt": text})
