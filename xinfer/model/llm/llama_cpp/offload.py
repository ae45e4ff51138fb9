"""How many layers of a model go to the accelerators."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from xinfer.model.inspect.gguf import GgufMetadata

RESERVE = 1 << 30
"""Bytes of each accelerator that are left for buffers of the computation and for others."""

_LAYER = re.compile(r"blk\.(\d+)\.")
_BITS = {
    "f32": 32.0,
    "f16": 16.0,
    "bf16": 16.0,
    "q8_0": 8.5,
    "q5_1": 6.0,
    "q5_0": 5.5,
    "q4_1": 5.0,
    "q4_0": 4.5,
    "iq4_nl": 4.5,
}


def kv_bytes_per_layer(gguf: GgufMetadata, cells: int, type_k: str, type_v: str) -> list[int]:
    """Bytes that the KV cache of so many tokens takes in each layer, by the file's own numbers.

    Models that keep a state instead have less than this says.
    """
    layers = _number(gguf, "block_count") or 0
    heads = _number(gguf, "attention.head_count") or 1
    width = (_number(gguf, "embedding_length") or 0) // heads
    key = _number(gguf, "attention.key_length") or width
    value = _number(gguf, "attention.value_length") or width
    kv_heads = gguf.values.get(f"{gguf.architecture}.attention.head_count_kv", heads)
    if not isinstance(kv_heads, list):
        kv_heads = [kv_heads] * layers
    bits = key * _BITS[type_k] + value * _BITS[type_v]
    return [int(cells * number * bits / 8) for number in kv_heads]


def layers_that_fit(
    parts: Sequence[GgufMetadata], kv_bytes: Sequence[int], free: Sequence[int]
) -> int:
    """Layers, counted as llama.cpp does: from the output, which is one of them, backwards.

    Args:
        parts: headers of all the model's files.
        kv_bytes: the KV cache's bytes in each layer.
        free: free bytes of each accelerator.
    """
    sizes = [0] * (len(kv_bytes) + 1)
    for part in parts:
        for tensor in part.tensors:
            layer = _LAYER.match(tensor.name)
            number = int(layer[1]) if layer else len(kv_bytes)
            if tensor.name != "token_embd.weight" and number < len(sizes):
                sizes[number] += tensor.size or 0
    for number, size in enumerate(kv_bytes):
        sizes[number] += size
    room = [max(0, amount - RESERVE) for amount in free]
    fitting = 0
    for size in reversed(sizes):
        device = max(range(len(room)), key=room.__getitem__, default=None)
        if device is None or room[device] < size:
            break
        room[device] -= size
        fitting += 1
    return fitting


def _number(gguf: GgufMetadata, key: str) -> int | None:
    value: Any = gguf.values.get(f"{gguf.architecture}.{key}")
    return value if isinstance(value, int) and value > 0 else None
