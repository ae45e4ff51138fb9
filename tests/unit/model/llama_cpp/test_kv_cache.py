"""The KV cache's types and bytes, computed from options and a header alone."""

from __future__ import annotations

from typing import Any

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llama_cpp.kv_cache import KvCache, cache_types, kv_bytes
from xinfer.model.llama_cpp.options import ModelOptions


def header(layers: int = 4, **values: Any) -> GgufMetadata:
    known = {"general.architecture": "llama", "llama.block_count": layers}
    known |= {f"llama.{key.replace('__', '.')}": value for key, value in values.items()}
    return GgufMetadata("a.gguf", known, (), 0, 0)


def test_quantised_values_without_flash_attention_are_refused() -> None:
    with pytest.raises(InvalidRequest) as raised:
        cache_types(ModelOptions(cache_type_v="q8_0", flash_attn="off"))
    assert raised.value.param == "cache_type_v"
    types = cache_types(ModelOptions(cache_type_v="q8_0", cache_type_k="bf16"))
    assert types == {"type_k": 30, "type_v": 8}


def test_kv_bytes_follow_heads_width_and_type() -> None:
    gguf = header(embedding_length=4096, attention__head_count=32, attention__head_count_kv=8)
    assert kv_bytes(gguf, KvCache(1000, True)) == [1000 * 8 * 128 * 2 * 2] * 4
    quantised = kv_bytes(gguf, KvCache(1000, True, type_k=8, type_v=2))
    assert quantised == [int(1000 * 8 * 128 * (8.5 + 4.5) / 8)] * 4


def test_kv_bytes_of_layers_that_differ() -> None:
    gguf = header(
        embedding_length=256,
        attention__head_count=4,
        attention__head_count_kv=[4, 0, 4, 0],
        attention__key_length=32,
        attention__value_length=16,
    )
    size = 10 * 4 * 48 * 2
    assert kv_bytes(gguf, KvCache(10, False)) == [size, 0, size, 0]
