"""The size and form of the KV cache, computed from a header alone."""

from __future__ import annotations

from typing import Any

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llm.llama_cpp.kv_cache import KvCache, kv_bytes, plan_kv
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions


def header(layers: int = 4, **values: Any) -> GgufMetadata:
    known = {"general.architecture": "llama", "llama.block_count": layers}
    known |= {f"llama.{key.replace('__', '.')}": value for key, value in values.items()}
    return GgufMetadata("a.gguf", known, (), 0, 0)


SMALL = header(embedding_length=64, attention__head_count=2)
LARGE = header(32, embedding_length=4096, attention__head_count=32, attention__head_count_kv=8)


@pytest.mark.parametrize(
    ("options", "cells", "unified"),
    [
        ({}, 16 * 1024, False),
        ({"n_parallel": 3}, 3 * 1024, False),
        ({"kv_unified": True}, 4 * 1024, True),
        ({"kv_unified": True, "n_parallel": 2}, 2 * 1024, True),
        ({"n_kv": 1000}, 1024, True),
        ({"n_kv": 5000}, 5120, True),
    ],
)
def test_size_of_the_cache(options: dict[str, Any], cells: int, unified: bool) -> None:
    assert plan_kv(SMALL, 1000, LlamaCppOptions(**options)) == KvCache(cells, unified)


def test_cache_is_shared_where_its_parts_would_take_too_much() -> None:
    # 128 KiB a token: 16 parts of 1024 tokens take exactly 2 GiB.
    assert not plan_kv(LARGE, 1024, LlamaCppOptions()).unified
    assert plan_kv(LARGE, 1025, LlamaCppOptions()) == KvCache(4352, True)
    assert not plan_kv(LARGE, 1025, LlamaCppOptions(kv_unified=False)).unified


@pytest.mark.parametrize("options", [{"n_kv": 999}, {"n_kv": 2000, "kv_unified": False}])
def test_cache_that_cannot_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as raised:
        plan_kv(SMALL, 1000, LlamaCppOptions(**options))
    assert raised.value.param == "n_kv"


def test_quantised_values_without_flash_attention_are_refused() -> None:
    options = LlamaCppOptions(cache_type_v="q8_0", flash_attn="off")
    with pytest.raises(InvalidRequest) as raised:
        plan_kv(SMALL, 1000, options)
    assert raised.value.param == "cache_type_v"
    types = plan_kv(SMALL, 1000, LlamaCppOptions(cache_type_v="q8_0", cache_type_k="bf16"))
    assert (types.type_k, types.type_v) == (30, 8)


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
