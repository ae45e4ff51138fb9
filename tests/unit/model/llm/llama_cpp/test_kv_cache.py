"""The size and form of the KV cache, computed from a header alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.model.llama_cpp.test_kv_cache import header
from xinfer.errors import InvalidRequest
from xinfer.model.llama_cpp.kv_cache import KvCache
from xinfer.model.llm.llama_cpp.kv_cache import plan_kv
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions

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


def test_types_are_those_that_were_asked_for() -> None:
    types = plan_kv(SMALL, 1000, LlamaCppOptions(cache_type_v="q8_0", cache_type_k="bf16"))
    assert (types.type_k, types.type_v) == (30, 8)
