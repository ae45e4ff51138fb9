"""The KV cache of a context: its size, its types, and the bytes it takes."""

from __future__ import annotations

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.inspect.gguf_shape import gguf_shape
from xinfer.model.llama_cpp.options import ModelOptions
from xinfer.model.memory import cache_bytes, type_bytes, type_number


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
    return {
        "type_k": type_number(options.cache_type_k),
        "type_v": type_number(options.cache_type_v),
    }


def kv_bytes(gguf: GgufMetadata, kv: KvCache, sequences: int = 1) -> list[int]:
    """Bytes that the cache takes in each layer; all tokens are kept, whatever a layer's window.

    Args:
        sequences: how many there may be at once.
    """
    shape = gguf_shape(gguf)
    if shape is None:
        return []
    return cache_bytes(
        shape,
        kv.cells,
        sequences=sequences,
        key_bytes=type_bytes(kv.type_k),
        value_bytes=type_bytes(kv.type_v),
        ahead=None,
    )
