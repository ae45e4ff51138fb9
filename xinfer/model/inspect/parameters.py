"""How many weights a model has, by the headers of its files, however they are packed there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from xinfer.model.inspect.safetensors import Tensor

_PACKED = re.compile(r"\.(qweight|weight_packed)$|_blocks$")
"""Tensors with several weights in an element, of kinds that say so by their name."""
_PACKED_TYPES = ("U8", "U32")
"""Types of a tensor called weight that has several in an element: of bitsandbytes, of MLX."""
_BESIDE = re.compile(
    r"\.(qzeros|scales|biases|g_idx|input_scale|[kv]_scale|SCB|inv_freq|position_ids"
    r"|weight_(scale|scale_inv|scale_2|global_scale|zero_point|shape|g_idx|format)"
    r"|(nested_)?(absmax|quant_map)|quant_state\.\w+)$|_scales$"
)
"""What is stored beside weights, and is none."""
_SENSES = re.compile(
    r"^(model\.|thinker\.)?(visual|vision_\w+|image_newline|audio_\w+|speech_\w+|vpm|apm|resampler"
    r"|multi_modal_projector|multimodal_projector|mm_projector|embed_(vision|audio)|aligner)\b"
)
"""Parts for pictures and sound."""


def count_parameters(tensors: Mapping[str, Tensor], bits: int) -> int:
    """Number of weights in these tensors.

    Args:
        bits: of one weight, where several are packed into an element; 0 if nothing tells.
    """
    return sum(_count(name, tensor, bits) for name, tensor in tensors.items())


def sense_bytes(tensors: Mapping[str, Tensor]) -> int:
    """Bytes of the parts for pictures and sound."""
    return sum(tensor.size for name, tensor in tensors.items() if _SENSES.search(name))


def in_billions(parameters: int) -> float | None:
    """To three digits; None for 0, which is unknown."""
    return float(f"{parameters / 1e9:.3g}") if parameters else None


def _count(name: str, tensor: Tensor, bits: int) -> int:
    if _BESIDE.search(name):
        return 0
    typed = tensor.dtype in _PACKED_TYPES and name.endswith(".weight")
    if bits and (typed or _PACKED.search(name)):
        return tensor.size * 8 // bits
    return tensor.elements
