"""The KV cache of a context: its size, its types, and the bytes it takes."""

from __future__ import annotations

from typing import Any

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.ggml import TENSOR_TYPES
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llama_cpp.options import ModelOptions

_ALIGNMENT = 256  # llama.cpp rounds each sequence's share of the cache up to this
_TYPES = {name.lower(): number for number, (name, _, _) in TENSOR_TYPES.items()}


class KvCache(msgspec.Struct, frozen=True):
    """The cache to be made."""

    cells: int
    """Tokens in all."""
    unified: bool
    """Shared by all sequences, instead of divided among them."""
    type_k: int = 1
    """ggml's number of the type that keys are kept in."""
    type_v: int = 1
    """The same for values."""


def cache_types(options: ModelOptions) -> dict[str, int]:
    """The types that the options ask for, as `KvCache` takes them.

    Raises:
        InvalidRequest: `cache_type_v` needs flash attention, which is off.
    """
    if options.flash_attn == "off" and "_" in options.cache_type_v:
        raise InvalidRequest(
            f"cache_type_v {options.cache_type_v} is quantised and needs flash attention. Leave "
            "flash_attn out, or take f16, bf16 or f32.",
            param="cache_type_v",
        )
    return {"type_k": _TYPES[options.cache_type_k], "type_v": _TYPES[options.cache_type_v]}


def kv_bytes(gguf: GgufMetadata, kv: KvCache) -> list[int]:
    """Bytes that the cache takes in each layer, by the file's own numbers.

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
    head = key * _bytes_each(kv.type_k) + value * _bytes_each(kv.type_v)
    return [int(kv.cells * number * head) for number in kv_heads]


def _bytes_each(kind: int) -> float:
    _, elements, size = TENSOR_TYPES[kind]
    return size / elements


def rounded(cells: int) -> int:
    """What llama.cpp makes of a wish for so many tokens."""
    return -(-cells // _ALIGNMENT) * _ALIGNMENT


def _number(gguf: GgufMetadata, key: str) -> int | None:
    value: Any = gguf.values.get(f"{gguf.architecture}.{key}")
    return value if isinstance(value, int) and value > 0 else None
