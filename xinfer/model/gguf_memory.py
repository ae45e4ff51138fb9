"""What a model in GGUF takes in memory, by its header: the same for every engine on llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xinfer.model.inspect.ggml import TENSOR_TYPES
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.types.model import Memory

RESERVE = 1 << 30
"""Bytes of each accelerator that are left for buffers of the computation and for others."""

_TYPES = {name.lower(): number for number, (name, _, _) in TENSOR_TYPES.items()}
_FLOAT = 4  # bytes of each element that is being computed


def type_number(name: str) -> int:
    """ggml's number of a type, by its name in lower case."""
    return _TYPES[name]


def kv_cache_bytes(gguf: GgufMetadata, cells: int, type_k: int, type_v: int) -> list[int]:
    """Bytes that a cache of so many tokens takes in each layer, by the file's own numbers.

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
    head = key * _bytes_each(type_k) + value * _bytes_each(type_v)
    return [int(cells * number * head) for number in kv_heads]


def estimate(
    parts: Sequence[GgufMetadata],
    *,
    kv_cache: int,
    ubatch: int,
    gpu_layers: int,
    adapters: int = 0,
    divides: bool = True,
) -> Memory:
    """What one replica takes.

    Args:
        parts: headers of all the model's files.
        kv_cache: bytes of the whole cache.
        ubatch: tokens computed at once.
        gpu_layers: layers that may be kept on accelerators; -1 is as many as fit.
        adapters: bytes of its LoRA adapters.
        divides: whether it may be divided over several accelerators.
    """
    gguf = parts[0]
    tokens = gguf.values.get("tokenizer.ggml.tokens")
    vocabulary = len(tokens) if isinstance(tokens, list) else 0
    width = _number(gguf, "embedding_length") or 0
    inner = _number(gguf, "feed_forward_length") or 0
    return Memory(
        weights=sum(part.file_size for part in parts) + adapters,
        kv_cache=kv_cache,
        # The logits, and what lives at once in the largest part of a layer.
        overhead=_FLOAT * ubatch * (vocabulary + 4 * width + 2 * inner),
        accelerator_overhead=RESERVE,
        divides=divides,
        spills=True,
        processors_only=gpu_layers == 0,
    )


def _bytes_each(kind: int) -> float:
    _, elements, size = TENSOR_TYPES[kind]
    return size / elements


def _number(gguf: GgufMetadata, key: str) -> int | None:
    value: Any = gguf.values.get(f"{gguf.architecture}.{key}")
    return value if isinstance(value, int) and value > 0 else None
