"""The sizes of a model in GGUF, by its metadata, with what llama.cpp itself knows of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import msgspec

from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.types.shape import LayerCache, ModelShape

NO_CACHE = frozenset(
    {
        *("bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "eurobert"),
        *("jina-bert-v2", "jina-bert-v3", "gemma-embedding", "wavtokenizer-dec"),
        *("dream", "llada", "llada-moe", "rnd1"),
    }
)
"""Architectures that look at a whole text at once, and keep nothing of it."""

_RECURRENT = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
_BOTH = frozenset({"falcon-h1"})
"""Each layer has keys and values, and a state."""
_INTERVAL = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4, "minimax-01": 8}
"""One in so many layers attends, the others keep a state."""
_NO_HEADS = frozenset(
    {
        *("jamba", "plamo2", "granitehybrid", "nemotron_h", "nemotron_h_moe"),
        *("lfm2", "lfm2moe", "kimi-linear"),
    }
)
"""A layer without heads for keys and values keeps a state instead."""
_PERIODS = {
    "gemma2": (2, False),
    "gemma3": (6, False),
    "gemma3n": (5, False),
    "cohere2": (4, False),
    "cohere2moe": (4, True),
    "gpt-oss": (2, False),
    "olmo2": (4, False),
    "exaone4": (4, False),
    "exaone-moe": (4, False),
    "llama4": (4, False),
    "smallthinker": (4, True),
    "afmoe": (4, False),
    "plamo3": (8, False),
    "mellum": (4, False),
    "laguna": (4, True),
}
"""One in so many layers attends to everything, the last of them or the first; where the file does
not say it. Architectures that are not here have no windows unless the file names their layers."""
_WINDOWS = {"gemma2": 4096, "llama4": 8192}
"""Where the file does not say it."""
_LAYERS_WITH_CACHE = {"gemma3n": 20}

_MOST_LAYERS = 4096
_LARGEST = 1 << 40


def gguf_shape(gguf: GgufMetadata, vision_bytes: int = 0) -> ModelShape | None:
    """The model's sizes; None if the file does not tell the number of its layers.

    Args:
        vision_bytes: of the files that belong to it, those for pictures and sound.
    """
    keys = _Keys(gguf)
    layers = keys.number("block_count")
    if not 0 < layers <= _MOST_LAYERS:
        return None
    heads = keys.per_layer("attention.head_count", layers, 0)
    hidden = keys.number("embedding_length")
    most_heads = max(heads)
    kv_heads = keys.per_layer("attention.head_count_kv", layers, most_heads)
    width = hidden // most_heads if most_heads else 0
    names = {tensor.name for tensor in gguf.tensors}
    tokens = gguf.values.get("tokenizer.ggml.tokens")
    return ModelShape(
        layers=layers,
        hidden=hidden,
        intermediate=keys.number("expert_feed_forward_length")
        or max(keys.per_layer("feed_forward_length", layers, 0)),
        heads=most_heads,
        kv_heads=max(kv_heads),
        head_dim=keys.number("attention.key_length") or width,
        vocab=len(tokens) if isinstance(tokens, list) else keys.number("vocab_size"),
        experts=keys.number("expert_count"),
        active_experts=keys.number("expert_used_count"),
        tied_embeddings=bool(names) and gguf.parts == 1 and "output.weight" not in names,
        latent=keys.number("attention.kv_lora_rank"),
        vision_bytes=vision_bytes,
        caches=_merged(_caches(keys, layers, kv_heads, width)),
    )


def _caches(keys: _Keys, layers: int, kv_heads: list[int], width: int) -> Iterable[LayerCache]:
    """The cache of each layer."""
    if keys.architecture in NO_CACHE:
        yield LayerCache(layers=layers)
        return
    key = keys.number("attention.key_length") or width
    value = keys.number("attention.value_length") or width
    latent = keys.number("attention.key_length_mla") > 0
    windows = _windows(keys, layers)
    recurrent = _recurrent(keys, layers, kv_heads)
    state = _state(keys)
    cached = _layers_with_cache(keys, layers)
    for layer in range(layers):
        heads, window = kv_heads[layer], windows[layer]
        if layer >= cached:
            yield LayerCache(layers=1)
        elif recurrent[layer] and keys.architecture not in _BOTH:
            yield LayerCache(layers=1, state=state)
        else:
            wide = keys.number("attention.key_length_swa") if window else 0
            high = keys.number("attention.value_length_swa") if window else 0
            yield LayerCache(
                layers=1,
                key=heads * (wide or key),
                value=0 if latent else heads * (high or value),
                window=window,
                state=state if recurrent[layer] else 0,
            )


def _windows(keys: _Keys, layers: int) -> list[int]:
    architecture = keys.architecture
    window = keys.number("attention.sliding_window") or _WINDOWS.get(architecture, 0)
    pattern = keys.value("attention.sliding_window_pattern")
    if isinstance(pattern, list):
        return [window if layer < len(pattern) and pattern[layer] else 0 for layer in range(layers)]
    period, first = _PERIODS.get(architecture, (0, False))
    period = keys.number("attention.sliding_window_pattern") or period
    if architecture not in _PERIODS or not window:
        return [0] * layers
    whole = 0 if first else period - 1
    return [0 if layer % period == whole else window for layer in range(layers)]


def _recurrent(keys: _Keys, layers: int, kv_heads: list[int]) -> list[bool]:
    architecture = keys.architecture
    told = keys.value("attention.recurrent_layers")
    if isinstance(told, list):
        return [layer < len(told) and bool(told[layer]) for layer in range(layers)]
    if architecture in _RECURRENT or architecture in _BOTH:
        return [True] * layers
    if architecture in _INTERVAL:
        interval = keys.number("full_attention_interval") or _INTERVAL[architecture]
        return [(layer + 1) % interval != 0 for layer in range(layers)]
    if architecture in _NO_HEADS:
        # Of Nemotron-H, layers that are a feed-forward part alone keep nothing at all.
        inner = keys.per_layer("feed_forward_length", layers, 0)
        bare = architecture.startswith("nemotron_h")
        return [heads == 0 and not (bare and inner[layer]) for layer, heads in enumerate(kv_heads)]
    return [False] * layers


def _state(keys: _Keys) -> int:
    """Elements that a recurrent layer keeps of each sequence."""
    hidden = keys.number("embedding_length")
    head = keys.number("wkv.head_size")
    if head:
        return (keys.number("token_shift_count") or 2) * hidden + hidden * head
    if keys.number("shortconv.l_cache"):
        return hidden * (keys.number("shortconv.l_cache") - 1)
    heads = max(keys.per_layer("attention.head_count", 1, 0))
    convolved = max(keys.number("ssm.conv_kernel") - 1, 0)
    head = keys.number("kda.head_dim")
    if head:
        return heads * head * (3 * (convolved or 3) + head)
    inner, size = keys.number("ssm.inner_size"), keys.number("ssm.state_size")
    return convolved * (inner + 2 * keys.number("ssm.group_count") * size) + inner * size


def _layers_with_cache(keys: _Keys, layers: int) -> int:
    """The first so many layers have a cache, the others use it too."""
    shared = keys.number("attention.shared_kv_layers")
    return layers - shared if shared else _LAYERS_WITH_CACHE.get(keys.architecture, layers)


def _merged(caches: Iterable[LayerCache]) -> tuple[LayerCache, ...]:
    """Equal ones that follow each other as one."""
    runs = ((first, sum(one.layers for one in same)) for first, same in groupby(caches))
    return tuple(msgspec.structs.replace(first, layers=layers) for first, layers in runs)


class _Keys:
    """The metadata of the architecture, which may hold anything."""

    def __init__(self, gguf: GgufMetadata) -> None:
        self.architecture = gguf.architecture
        self._values = gguf.values

    def value(self, key: str) -> Any:
        return self._values.get(f"{self.architecture}.{key}")

    def number(self, key: str) -> int:
        """A whole number above 0; 0 if it is none, or absurd."""
        value = self.value(key)
        return value if type(value) is int and 0 < value < _LARGEST else 0

    def per_layer(self, key: str, layers: int, default: int) -> list[int]:
        """A number for each layer, of one for all or of a list."""
        value = self.value(key)
        if not isinstance(value, list):
            return [self.number(key) or default] * layers
        sizes = [one if type(one) is int and 0 <= one < _LARGEST else 0 for one in value[:layers]]
        return sizes + [default] * (layers - len(sizes))
