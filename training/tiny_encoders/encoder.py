"""What the two models have in common: their shape, and batches of tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor
from transformers import BertConfig

from training.tiny_encoders.tokenizer import CLS, PAD, SEP

CONTEXT = 256  # tokens
WARMUP = 0.05  # share of a run


def config(tokenizer: Tokenizer) -> BertConfig:
    ids = tokenizer.get_vocab()
    return BertConfig(
        vocab_size=len(ids),
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=384,
        max_position_embeddings=CONTEXT,
        type_vocab_size=1,
        # ggml's GELU is this one.
        hidden_act="gelu_pytorch_tanh",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=ids[PAD],
        bos_token_id=ids[CLS],
        eos_token_id=ids[SEP],
    )


def padded(encoded: Sequence[Encoding]) -> dict[str, Tensor]:
    """Ids and mask as (texts, tokens); the padding is 0."""
    length = max(len(one) for one in encoded)
    ids = torch.zeros(len(encoded), length, dtype=torch.long)
    mask = torch.zeros(len(encoded), length, dtype=torch.long)
    for row, one in enumerate(encoded):
        ids[row, : len(one)] = torch.tensor(one.ids)
        mask[row, : len(one)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def mean_pooled(hidden: Tensor, mask: Tensor) -> Tensor:
    """(texts, tokens, width) as vectors of length 1, (texts, width)."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return torch.nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)


def rate_factor(progress: float) -> float:
    """Share of the full learning rate at `progress` (0 to 1): linear warm-up, then cosine."""
    if progress < WARMUP:
        return progress / WARMUP
    return 0.02 + 0.98 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP))) / 2
