"""GGUF models of other architectures than Llama's, whose weights are zero: for what they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import gguf
import numpy as np

from tests.support.gguf_models import END, STOP, byte_level

Shapes = Mapping[str, Sequence[int]]
"""Tensor → its sides, in numpy's order."""


def zero_model(
    path: Path,
    architecture: str,
    values: Mapping[str, int | float],
    tensors: Shapes,
    *,
    context: int = 1 << 16,
) -> Path:
    """A file that llama.cpp loads.

    Args:
        values: metadata by its key without the architecture's name.
    """
    vocabulary = byte_level()
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("model")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(context)
    for key, value in values.items():
        if isinstance(value, int):
            writer.add_uint32(f"{architecture}.{key}", value)
        else:
            writer.add_float32(f"{architecture}.{key}", value)
    writer.add_tokenizer_model(vocabulary.kind)
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.tokens.index(END))
    writer.add_eos_token_id(vocabulary.tokens.index(STOP))
    width = int(values["embedding_length"])
    for name, sides in {
        "token_embd.weight": (len(vocabulary.tokens), width),
        "output_norm.weight": (width,),
        **tensors,
    }.items():
        writer.add_tensor(name, np.zeros(sides, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gemma3(path: Path, *, width: int, layers: int, heads: int, kv_heads: int, window: int) -> Path:
    """Five of six layers have a window."""
    head, inner = 64, 2 * width
    tensors: dict[str, Sequence[int]] = {}
    for layer in range(layers):
        block = f"blk.{layer}."
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            tensors[f"{block}{name}.weight"] = (width,)
        for name in ("attn_q_norm", "attn_k_norm"):
            tensors[f"{block}{name}.weight"] = (head,)
        tensors |= {
            f"{block}attn_q.weight": (heads * head, width),
            f"{block}attn_k.weight": (kv_heads * head, width),
            f"{block}attn_v.weight": (kv_heads * head, width),
            f"{block}attn_output.weight": (width, heads * head),
            f"{block}ffn_gate.weight": (inner, width),
            f"{block}ffn_up.weight": (inner, width),
            f"{block}ffn_down.weight": (width, inner),
        }
    values = {
        "embedding_length": width,
        "block_count": layers,
        "feed_forward_length": inner,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "attention.sliding_window": window,
        "attention.layer_norm_rms_epsilon": 1e-6,
    }
    return zero_model(path, "gemma3", values, tensors)


def mamba(path: Path, *, width: int, layers: int, state: int) -> Path:
    """No layer attends."""
    inner, rank, kernel = 2 * width, width // 16, 4
    tensors: dict[str, Sequence[int]] = {}
    for layer in range(layers):
        block = f"blk.{layer}."
        tensors |= {
            f"{block}attn_norm.weight": (width,),
            f"{block}ssm_in.weight": (2 * inner, width),
            f"{block}ssm_conv1d.weight": (inner, kernel),
            f"{block}ssm_conv1d.bias": (inner,),
            f"{block}ssm_x.weight": (rank + 2 * state, inner),
            f"{block}ssm_dt.weight": (inner, rank),
            f"{block}ssm_dt.bias": (inner,),
            f"{block}ssm_a": (inner, state),
            f"{block}ssm_d": (inner,),
            f"{block}ssm_out.weight": (width, inner),
        }
    values = {
        "embedding_length": width,
        "block_count": layers,
        "feed_forward_length": 0,
        "attention.head_count": 0,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "ssm.conv_kernel": kernel,
        "ssm.inner_size": inner,
        "ssm.state_size": state,
        "ssm.time_step_rank": rank,
    }
    return zero_model(path, "mamba", values, tensors)


def latent_attention(
    path: Path, *, width: int, layers: int, heads: int, latent: int, rope: int = 32
) -> Path:
    """Of DeepSeek's second architecture, without experts: each token keeps a latent."""
    nope, value, query, inner = 64, 64, 64, 2 * width
    tensors: dict[str, Sequence[int]] = {}
    for layer in range(layers):
        block = f"blk.{layer}."
        tensors |= {
            f"{block}attn_norm.weight": (width,),
            f"{block}attn_q_a_norm.weight": (query,),
            f"{block}attn_kv_a_norm.weight": (latent,),
            f"{block}attn_q_a.weight": (query, width),
            f"{block}attn_q_b.weight": (heads * (nope + rope), query),
            f"{block}attn_kv_a_mqa.weight": (latent + rope, width),
            f"{block}attn_k_b.weight": (heads, latent, nope),
            f"{block}attn_v_b.weight": (heads, value, latent),
            f"{block}attn_output.weight": (width, heads * value),
            f"{block}ffn_norm.weight": (width,),
            f"{block}ffn_gate.weight": (inner, width),
            f"{block}ffn_up.weight": (inner, width),
            f"{block}ffn_down.weight": (width, inner),
        }
    values = {
        "embedding_length": width,
        "block_count": layers,
        "feed_forward_length": inner,
        "leading_dense_block_count": layers,
        "expert_feed_forward_length": inner,
        "expert_count": 2,
        "expert_used_count": 1,
        "expert_shared_count": 1,
        "attention.head_count": heads,
        "attention.head_count_kv": 1,
        "attention.q_lora_rank": query,
        "attention.kv_lora_rank": latent,
        "attention.key_length": latent + rope,
        "attention.value_length": latent,
        "attention.key_length_mla": nope + rope,
        "attention.value_length_mla": value,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "rope.dimension_count": rope,
    }
    return zero_model(path, "deepseek2", values, tensors)


def dense(
    path: Path,
    architecture: str,
    *,
    bias: bool = False,
    head_norms: bool = False,
    fused: bool = False,
    gate: str = "apart",
    post_norms: bool = False,
    norm_bias: bool = False,
    experts: int = 0,
    tied: bool = True,
    **values: int | float,
) -> Path:
    """Decoders whose layers attend and then pass a network, as most do.

    Args:
        bias: of queries, keys and values.
        head_norms: queries and keys are normalised.
        fused: queries, keys and values are one tensor.
        gate: of the network: apart, within (one tensor with what it gates) or none.
        experts: that many networks in a layer; 0 is the one.
        tied: the output layer is that of the input.
        values: more metadata, `.` in its keys written as `__`.
    """
    width, head, heads, kv_heads, layers = 64, 32, 2, 1, 2
    inner = 2 * width
    all_heads = heads + 2 * kv_heads
    tensors: dict[str, Sequence[int]] = {}
    for layer in range(layers):
        block = f"blk.{layer}."
        sides = {"attn_q": heads, "attn_k": kv_heads, "attn_v": kv_heads}
        for name, many in ({"attn_qkv": all_heads} if fused else sides).items():
            tensors[f"{block}{name}.weight"] = (many * head, width)
            if bias:
                tensors[f"{block}{name}.bias"] = (many * head,)
        tensors[f"{block}attn_output.weight"] = (width, heads * head)
        norms = ["attn_norm", "ffn_norm"]
        norms += ["post_attention_norm", "post_ffw_norm"] if post_norms else []
        for name in norms:
            tensors[f"{block}{name}.weight"] = (width,)
            if norm_bias:
                tensors[f"{block}{name}.bias"] = (width,)
        for name in ("attn_q_norm", "attn_k_norm") if head_norms else ():
            tensors[f"{block}{name}.weight"] = (head,)
        if experts:
            tensors[f"{block}ffn_gate_inp.weight"] = (experts, width)
            for name in ("gate", "up"):
                tensors[f"{block}ffn_{name}_exps.weight"] = (experts, inner, width)
            tensors[f"{block}ffn_down_exps.weight"] = (experts, width, inner)
            continue
        if gate == "apart":
            tensors[f"{block}ffn_gate.weight"] = (inner, width)
        tensors[f"{block}ffn_up.weight"] = (2 * inner if gate == "within" else inner, width)
        tensors[f"{block}ffn_down.weight"] = (width, inner)
        if gate == "none":
            tensors[f"{block}ffn_up.bias"] = (inner,)
            tensors[f"{block}ffn_down.bias"] = (width,)
            tensors[f"{block}attn_output.bias"] = (width,)
    if norm_bias:
        tensors["output_norm.bias"] = (width,)
    if not tied:
        tensors["output.weight"] = (len(byte_level().tokens), width)
    known = {
        "embedding_length": width,
        "block_count": layers,
        "feed_forward_length": inner,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "rope.dimension_count": head,
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.layer_norm_epsilon": 1e-6,
        **({"expert_count": experts, "expert_used_count": 2} if experts else {}),
    }
    more = {key.replace("__", "."): value for key, value in values.items()}
    return zero_model(path, architecture, {**known, **more}, tensors)
