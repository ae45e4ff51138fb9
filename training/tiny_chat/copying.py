"""A start for copying: attention heads that repeat what followed the last time.

To copy a name that it has never seen, a model needs a head that looks at the token before and, one
layer up, a head that finds where the current token was followed by something and writes that. A
small model takes longer to discover the pair than to learn everything else, so it begins with them;
training is free to change them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.tiny_chat.model import Attention, Block, TinyChat, rope_frequencies

NEAR_PAIRS = 6  # rotary pairs that turn fast enough to tell neighbours apart
FAR_FROM = 7  # first rotary pair that turns so slowly that distance hardly matters
NEAR_STRENGTH = 6.0
MATCH_STRENGTH = 1.5
PREVIOUS_SHARE = 0.25  # of the token before, beside the token itself
COPY_SHARE = 0.5


@torch.no_grad()
def prepare_copying(model: TinyChat) -> None:
    """Set the first head of the first two layers of a fresh model as described above."""
    blocks = [layer for layer in model.layers if isinstance(layer, Block)]
    looking, finding = (block.self_attn for block in blocks[:2])
    size, width = model.config.head_dim, model.config.hidden_size
    token = nn.init.orthogonal_(torch.empty(size, width))
    previous = nn.init.orthogonal_(torch.empty(size, width))
    _look_at_previous(looking, rope_frequencies(model.config)[:NEAR_PAIRS])
    looking.v_proj.weight[:size] = token
    looking.o_proj.weight[:, :size] = PREVIOUS_SHARE * previous.T

    far = torch.cat([torch.arange(FAR_FROM, size // 2) + half for half in (0, size // 2)])
    finding.q_proj.weight[:size] = 0
    finding.q_proj.weight[far] = MATCH_STRENGTH * token[: len(far)]
    finding.k_proj.weight[far] = MATCH_STRENGTH * previous[: len(far)]
    copied = nn.init.orthogonal_(torch.empty(size, width))
    finding.v_proj.weight[:size] = copied
    finding.o_proj.weight[:, :size] = COPY_SHARE * copied.T


def _look_at_previous(attention: Attention, frequencies: Tensor) -> None:
    """Make the first head attend by position alone, to the token before."""
    size, half, near = attention.config.head_dim, attention.config.head_dim // 2, len(frequencies)
    attention.q_proj.weight[:size] = 0
    attention.k_proj.weight[:size] = 0
    attention.k_proj.bias[:near] = NEAR_STRENGTH
    attention.q_proj.bias[:near] = NEAR_STRENGTH * frequencies.cos()
    attention.q_proj.bias[half : half + near] = -NEAR_STRENGTH * frequencies.sin()
