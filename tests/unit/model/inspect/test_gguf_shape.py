"""What llama.cpp keeps in each layer, by a file's metadata."""

from __future__ import annotations

from typing import Any

import pytest

from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.inspect.gguf_shape import NO_CACHE, gguf_shape
from xinfer.model.memory import cache_bytes
from xinfer.types.shape import ModelShape


def header(architecture: str, **values: Any) -> GgufMetadata:
    """Metadata by its keys, with `__` for a point."""
    named = {f"{architecture}.{key.replace('__', '.')}": value for key, value in values.items()}
    return GgufMetadata("m", {"general.architecture": architecture, **named}, (), 0, 0)


PLAIN = {
    "block_count": 12,
    "embedding_length": 768,
    "feed_forward_length": 2048,
    "attention__head_count": 12,
    "attention__head_count_kv": 4,
}
WINDOW = {**PLAIN, "attention__sliding_window": 512}


def shape(architecture: str, **values: Any) -> ModelShape:
    found = gguf_shape(header(architecture, **values))
    assert found is not None
    return found


def tokens_in_each_layer(found: ModelShape, tokens: int) -> list[int]:
    """Tokens kept, where each takes the same."""
    sizes = cache_bytes(found, tokens)
    return [size * tokens // max(sizes) for size in sizes]


def test_a_plain_model() -> None:
    found = shape("llama", **PLAIN)
    assert (found.layers, found.hidden, found.intermediate) == (12, 768, 2048)
    assert (found.heads, found.kv_heads, found.head_dim) == (12, 4, 64)
    assert cache_bytes(found, 10) == [10 * 2 * 2 * 4 * 64] * 12


def test_layers_with_different_numbers_of_heads() -> None:
    found = shape("openelm", **{**PLAIN, "block_count": 3, "attention__head_count_kv": [2, 4, 0]})
    assert cache_bytes(found, 1) == [2 * 2 * 2 * 64, 2 * 2 * 4 * 64, 0]


def test_keys_and_values_of_their_own_lengths() -> None:
    found = shape("llama", **PLAIN, attention__key_length=96, attention__value_length=32)
    assert cache_bytes(found, 1) == [2 * 4 * (96 + 32)] * 12
    assert cache_bytes(found, 1, key_bytes=1, value_bytes=4) == [4 * (96 + 4 * 32)] * 12


@pytest.mark.parametrize(
    ("architecture", "whole"),
    [
        ("gemma2", [1, 3, 5, 7, 9, 11]),
        ("gemma3", [5, 11]),
        ("cohere2", [3, 7, 11]),
        ("gpt-oss", [1, 3, 5, 7, 9, 11]),
        ("smallthinker", [0, 4, 8]),
        ("llama", list(range(12))),
        ("phi3", list(range(12))),
    ],
)
def test_which_layers_have_windows(architecture: str, whole: list[int]) -> None:
    kept = tokens_in_each_layer(shape(architecture, **WINDOW), 4096)
    assert [layer for layer, tokens in enumerate(kept) if tokens == 4096] == whole
    assert {tokens for tokens in kept if tokens < 4096} <= {512}


def test_a_file_may_list_its_layers_with_windows() -> None:
    pattern = [True, False] * 6
    found = shape("gemma4", **WINDOW, attention__sliding_window_pattern=pattern)
    assert tokens_in_each_layer(found, 4096) == [512, 4096] * 6
    period = shape("gemma3", **WINDOW, attention__sliding_window_pattern=3)
    assert tokens_in_each_layer(period, 4096) == [512, 512, 4096] * 4


def test_layers_that_share_the_cache_of_others() -> None:
    found = shape("gemma4", **PLAIN, attention__shared_kv_layers=5)
    assert [size > 0 for size in cache_bytes(found, 1)] == [True] * 7 + [False] * 5


def test_a_latent_stands_for_keys_and_values() -> None:
    latent = {
        **PLAIN,
        "attention__head_count_kv": 1,
        "attention__key_length": 576,
        "attention__value_length": 512,
        "attention__kv_lora_rank": 512,
    }
    mla = {"attention__key_length_mla": 192, "attention__value_length_mla": 128}
    assert cache_bytes(shape("deepseek2", **latent, **mla), 1) == [2 * 576] * 12
    assert cache_bytes(shape("deepseek2", **latent), 1) == [2 * (576 + 512)] * 12


STATES = {
    "ssm__conv_kernel": 4,
    "ssm__inner_size": 1024,
    "ssm__state_size": 128,
    "ssm__group_count": 2,
}
STATE = 4 * (3 * (1024 + 2 * 2 * 128) + 1024 * 128)


@pytest.mark.parametrize(
    ("architecture", "more", "with_state"),
    [
        ("mamba2", {}, list(range(12))),
        ("falcon-h1", {}, list(range(12))),
        ("qwen3next", {}, [0, 1, 2, 4, 5, 6, 8, 9, 10]),
        ("qwen3next", {"full_attention_interval": 6}, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]),
        ("jamba", {"attention__head_count_kv": [0, 0, 0, 4] * 3}, [0, 1, 2, 4, 5, 6, 8, 9, 10]),
        (
            "nemotron_h",
            {"attention__head_count_kv": [0, 0, 4] * 4, "feed_forward_length": [0, 99, 0] * 4},
            [0, 3, 6, 9],
        ),
        ("llama", {}, []),
    ],
)
def test_which_layers_keep_a_state(
    architecture: str, more: dict[str, Any], with_state: list[int]
) -> None:
    found = shape(architecture, **{**PLAIN, **STATES, **more})
    both = cache_bytes(found, 10, sequences=1)
    more_sequences = cache_bytes(found, 10, sequences=2)
    grown = [after - before for before, after in zip(both, more_sequences, strict=True)]
    assert grown == [STATE if layer in with_state else 0 for layer in range(12)]


@pytest.mark.parametrize("architecture", sorted(NO_CACHE))
def test_encoders_keep_nothing_of_a_text(architecture: str) -> None:
    assert cache_bytes(shape(architecture, **PLAIN), 512) == [0] * 12


def test_experts() -> None:
    found = shape(
        "qwen3moe",
        **PLAIN,
        expert_count=128,
        expert_used_count=8,
        expert_feed_forward_length=96,
    )
    assert (found.experts, found.active_experts, found.intermediate) == (128, 8, 96)


@pytest.mark.parametrize("layers", [None, 0, -1, 10**9, "12", True, [1]])
def test_a_file_that_does_not_tell_its_layers_has_no_shape(layers: Any) -> None:
    assert gguf_shape(header("llama", **{**PLAIN, "block_count": layers})) is None


def test_absurd_values_are_unknown_ones() -> None:
    found = shape(
        "gemma3",
        block_count=2,
        embedding_length="x",
        attention__head_count=[1, "a", None],
        attention__head_count_kv=2**70,
        attention__key_length=-4,
        attention__sliding_window=[1],
    )
    assert cache_bytes(found, 100) == [0, 0]
