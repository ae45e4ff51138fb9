"""The sizes of a model by its config.json, and by its tensors where that leaves them out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

import msgspec

from xinfer.model.inspect.json_files import number, section, strings
from xinfer.model.inspect.safetensors import Tensor
from xinfer.types.shape import LayerCache, ModelShape

Config = Mapping[str, Any]

_TEXT = ("text_config", "llm_config", "language_config", "decoder", "text_model_config")
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers")
_HIDDEN = ("hidden_size", "n_embd", "d_model", "dim", "model_dim")
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads")
_KV_HEADS = (
    "num_key_value_heads",
    "num_kv_heads",
    "n_kv_heads",
    "n_head_kv",
    "multi_query_group_num",
)
_INTERMEDIATE = (
    *("intermediate_size", "ffn_hidden_size", "n_inner", "decoder_ffn_dim", "ffn_dim", "d_ff"),
    *("ffn_hidden", "hidden_dim"),
)
_EXPERT = ("moe_intermediate_size", "expert_ffn_hidden_size", "ffn_dim_experts")
_EXPERTS = (
    *("n_routed_experts", "num_local_experts", "num_experts", "moe_num_experts"),
    "num_moe_experts",
)
_ACTIVE = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts")

_MOST_LAYERS = 4096
_STATE = ("linear_attention", "mamba", "mamba2", "recurrent", "conv", "lightning_attention")
_NOTHING = ("mlp", "moe", "-")
_PERIODS = {"gemma2": 2, "gemma3_text": 6, "gemma3": 6, "cohere2": 4, "gpt_oss": 2, "gemma3n": 5}
"""Model type → one in so many layers attends to everything, where the file does not say it."""
_NEMOTRON = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}

_DEFAULTS: dict[str, Config] = {
    "llama": {
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_attention_heads": 32,
        "max_position_embeddings": 2048,
    },
    "mistral": {
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
    },
    "gemma3_text": {
        "num_hidden_layers": 26,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
        "tie_word_embeddings": True,
    },
}
"""Model type → what Transformers leaves out of the configuration of a part when it is so."""

_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks|layer|block)\.(\d+)\.")
_KEYS = re.compile(r"\.(?:k_proj|key|wk)\.weight$")
_EMBEDDING = re.compile(
    r"(?:^|\.)(?:embed_tokens|wte|word_embeddings|tok_embeddings|embed_in)\.weight$"
)


def text_config(config: Config) -> Config:
    """The part of a configuration that is about the language model."""
    thinker = section(config, "thinker_config")
    if thinker:
        return text_config(thinker)
    inner = section(config, *_TEXT)
    if not inner:
        return config
    if section(inner, *_TEXT):
        return text_config(inner)
    return {**_DEFAULTS.get(str(inner.get("model_type")), {}), **inner}


def config_shape(
    config: Config, tensors: Mapping[str, Tensor], vision_bytes: int = 0
) -> ModelShape | None:
    """The model's sizes; None if nothing tells the number of its layers.

    Args:
        tensors: of the weights, as far as they are known.
        vision_bytes: of the weights, those for pictures and sound.
    """
    text = text_config(config)
    attention = section(text, "attn_config", "attention_config")
    layers = number(text, *_LAYERS) or _count_layers(tensors)
    hidden = number(text, *_HIDDEN) or _embedding(tensors)[1]
    if not 0 < layers <= _MOST_LAYERS:
        return None
    heads = number(text, *_HEADS)
    kv_heads = _kv_heads(text, heads) or number(attention, "kv_n_heads")
    head_dim = number(text, "head_dim", "kv_channels", "attention_head_dim")
    head_dim = head_dim or (hidden // heads if heads else 0)
    if not heads:  # a configuration that leaves out what is its family's default
        head_dim = head_dim or 128
        kv_heads = _key_width(tensors) // head_dim
        heads = hidden // head_dim
    return ModelShape(
        layers=layers,
        hidden=hidden,
        intermediate=number(text, *_EXPERT, *_INTERMEDIATE) or 4 * hidden,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        vocab=number(text, "vocab_size", "padded_vocab_size")
        or number(config, "vocab_size")
        or _embedding(tensors)[0],
        experts=number(text, *_EXPERTS),
        active_experts=number(text, *_ACTIVE),
        tied_embeddings=text.get("tie_word_embeddings", config.get("tie_word_embeddings")) is True,
        latent=number(text, "kv_lora_rank"),
        vision_bytes=vision_bytes,
        caches=_merged(_caches(text, layers, hidden, kv_heads, head_dim)),
    )


def _kv_heads(text: Config, heads: int) -> int:
    if text.get("multi_query") is True and not text.get("new_decoder_architecture"):
        return 1  # Falcon, StarCoder
    if text.get("multi_query_attention") is False:
        return heads  # ChatGLM before its second version
    return number(text, *_KV_HEADS) or (0 if section(text, "attn_config") else heads)


def _caches(
    text: Config, layers: int, hidden: int, kv_heads: int, head_dim: int
) -> Iterable[LayerCache]:
    """The cache of each layer of a decoder; an encoder's are never made."""
    latent = number(text, "kv_lora_rank")
    key = kv_heads * head_dim
    value = kv_heads * (number(text, "v_head_dim") or head_dim)
    if latent:
        key, value = latent + number(text, "qk_rope_head_dim"), 0
    window = number(text, "sliding_window", "attention_chunk_size", "window_size")
    kinds = layer_kinds(text, layers)
    shared = number(text, "num_kv_shared_layers")
    for layer, kind in enumerate(kinds):
        if kind in _NOTHING or layer >= layers - shared:
            yield LayerCache(layers=1)
        elif kind in _STATE:
            yield LayerCache(layers=1, state=_state(text, kind, hidden))
        else:
            slides = kind in ("sliding_attention", "chunked_attention", "local")
            yield LayerCache(
                layers=1,
                key=key,
                value=value,
                window=window if slides else 0,
                state=_state(text, "mamba", hidden) if kind == "both" else 0,
            )


def layer_kinds(text: Config, layers: int) -> list[str]:
    """What each layer is: full_attention, sliding_attention, linear_attention, mamba, …"""
    told = strings(text.get("layer_types") or text.get("layers_block_type"))
    told = told or _pattern(text)
    if told:
        kinds = [_kind(one) for one in told[:layers]]
        return kinds + ["full_attention"] * (layers - len(kinds))
    return [_kind_of(text, layer, layers) for layer in range(layers)]


def _pattern(text: Config) -> tuple[str, ...]:
    letters = text.get("hybrid_override_pattern")
    if isinstance(letters, str):
        return tuple(_NEMOTRON.get(letter, "attention") for letter in letters)
    indices = text.get("attn_layer_indices")
    if isinstance(indices, list):
        attend = {one for one in indices if type(one) is int}
        layers = min(number(text, *_LAYERS), _MOST_LAYERS)
        return tuple("attention" if one in attend else "mamba" for one in range(layers))
    types = strings(text.get("block_types"))  # repeated over all layers
    return types * (min(number(text, *_LAYERS), _MOST_LAYERS) // len(types) + 1) if types else ()


def _kind(name: str) -> str:
    if name in ("attention", "hybrid"):
        return "both" if name == "hybrid" else "full_attention"
    return name


def _kind_of(text: Config, layer: int, layers: int) -> str:
    """By the rules of those families that do not list their layers."""
    family = text.get("model_type")
    if family in ("mamba", "mamba2", "falcon_mamba"):
        return "mamba"
    if family == "falcon_h1":
        return "both"
    period = number(text, "full_attention_interval", "attn_layer_period")
    if period:
        offset = text.get("attn_layer_offset", period - 1)
        other = "mamba" if "attn_layer_period" in text else "linear_attention"
        return "full_attention" if layer % period == offset else other
    if not number(text, "sliding_window") or text.get("use_sliding_window") is False:
        return "full_attention"
    period = number(text, "sliding_window_pattern", "_sliding_window_pattern")
    period = period or _PERIODS.get(str(family), 0)
    if period:
        return "full_attention" if (layer + 1) % period == 0 else "sliding_attention"
    whole = text.get("max_window_layers")  # Qwen2: the first so many see everything
    if type(whole) is int and layer < whole:
        return "full_attention"
    return "sliding_attention"


def _state(text: Config, kind: str, hidden: int) -> int:
    """Elements that such a layer keeps of each sequence."""
    if kind == "conv":
        return hidden * number(text, "conv_L_cache")
    if kind == "linear_attention" and "linear_num_value_heads" in text:
        keys = number(text, "linear_num_key_heads") * number(text, "linear_key_head_dim")
        values = number(text, "linear_num_value_heads") * number(text, "linear_value_head_dim")
        kernel = number(text, "linear_conv_kernel_dim") or 4
        return kernel * (2 * keys + values) + values * number(text, "linear_key_head_dim")
    if kind in ("linear_attention", "lightning_attention"):
        head = number(text, "head_dim") or 128
        return number(text, *_HEADS) * head * head
    if kind == "recurrent":
        width = number(text, "lru_width") or hidden
        return width * (1 + (number(text, "conv1d_width") or 4))
    inner = number(text, "mamba_d_ssm", "mamba_intermediate_size", "d_inner")
    heads = number(text, "mamba_num_heads", "mamba_n_heads")
    inner = inner or heads * number(text, "mamba_head_dim", "mamba_d_head")
    inner = inner or hidden * (number(text, "expand", "mamba_expand") or 2)
    size = number(text, "state_size", "ssm_state_size", "mamba_d_state") or 16
    groups = number(text, "n_groups", "mamba_n_groups")
    kernel = number(text, "conv_kernel", "mamba_d_conv") or 4
    return kernel * (inner + 2 * groups * size) + inner * size


def _merged(caches: Iterable[LayerCache]) -> tuple[LayerCache, ...]:
    runs = ((first, sum(1 for _ in same)) for first, same in groupby(caches))
    return tuple(msgspec.structs.replace(first, layers=layers) for first, layers in runs)


def _count_layers(tensors: Mapping[str, Tensor]) -> int:
    """Layers of the language model, which is the one with the most."""
    stacks: dict[str, int] = {}
    for name in tensors:
        layer = _LAYER.search(name)
        if layer and "vision" not in name and "visual" not in name:
            stack = name[: layer.start()]
            stacks[stack] = max(stacks.get(stack, 0), int(layer[1][:6]) + 1)
    return max(stacks.values(), default=0)


def _key_width(tensors: Mapping[str, Tensor]) -> int:
    """Elements of a token's keys, by the matrix that makes them; 0 when unknown."""
    for name, tensor in tensors.items():
        if _KEYS.search(name) and "vision" not in name and len(tensor.shape) == 2:
            return tensor.shape[0]
    return 0


def _embedding(tensors: Mapping[str, Tensor]) -> tuple[int, int]:
    """Tokens and width of the embedding; zeros when unknown."""
    for name, tensor in tensors.items():
        if _EMBEDDING.search(name) and len(tensor.shape) == 2:
            return tensor.shape[0], tensor.shape[1]
    return 0, 0
