"""Llama models in GGUF, written in Transformers' own format: the same numbers, other names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file
from tokenizers import decoders

from xinfer.model.inspect.gguf import read_gguf
from xinfer.model.llm.tokenizer.encoder import build_encoder
from xinfer.model.llm.tokenizer.pieces import CONTROL, Vocabulary

Array = NDArray[np.float32]

_ENDS = ("<|endoftext|>", "<|im_end|>")
_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def llama_directory(source: Path, target: Path) -> Path:
    """A Llama model's directory with the numbers of a GGUF file in 32 bits."""
    target.mkdir(parents=True)
    header = read_gguf(source)
    values = header.values
    heads = {
        "q": values["llama.attention.head_count"],
        "k": values["llama.attention.head_count_kv"],
    }
    tensors = {}
    for tensor in gguf.GGUFReader(source).tensors:
        data = np.asarray(gguf.quants.dequantize(tensor.data, tensor.tensor_type), np.float32)
        part = tensor.name.split(".")[-2]
        if part in ("attn_q", "attn_k"):
            data = _unrotated(data, heads[part[-1]])
        tensors[_name(tensor.name)] = np.ascontiguousarray(data)
    save_file(tensors, target / "model.safetensors", metadata={"format": "pt"})
    tokens = values["tokenizer.ggml.tokens"]
    write_json(
        target / "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": len(tokens),
            "hidden_size": values["llama.embedding_length"],
            "intermediate_size": values["llama.feed_forward_length"],
            "num_hidden_layers": values["llama.block_count"],
            "num_attention_heads": heads["q"],
            "num_key_value_heads": heads["k"],
            "max_position_embeddings": values["llama.context_length"],
            "rms_norm_eps": float(values["llama.attention.layer_norm_rms_epsilon"]),
            "rope_theta": 10000.0,
            "tie_word_embeddings": False,
            "bos_token_id": values["tokenizer.ggml.bos_token_id"],
            "eos_token_id": values["tokenizer.ggml.eos_token_id"],
            "dtype": "float32",
        },
    )
    ends = [
        token for token in range(len(tokens)) if tokens[token] in ("<|endoftext|>", "<|im_end|>")
    ]
    write_json(target / "generation_config.json", {"eos_token_id": ends})
    write_tokenizer(source, target)
    return target


def _name(name: str) -> str:
    *block, part, ending = name.split(".")
    layer = f"model.layers.{block[1]}." if block else ""
    return f"{layer}{_NAMES[part]}.{ending}"


def _unrotated(weights: Array, heads: int) -> Array:
    """llama.cpp turns neighbouring numbers, Transformers the two halves of a head."""
    rows, columns = weights.shape
    halves = weights.reshape(heads, rows // heads // 2, 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def write_tokenizer(source: Path, target: Path) -> None:
    """The tokenizer of a GGUF file as Transformers reads it."""
    header = read_gguf(source)
    vocabulary = Vocabulary(header)
    encoder = build_encoder(header, vocabulary)
    assert encoder is not None
    tokenizer = encoder._special
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(target / "tokenizer.json"))
    tokens = vocabulary.tokens
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[header.values["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[header.values["tokenizer.ggml.eos_token_id"]],
        "additional_special_tokens": [tokens[id] for id in vocabulary.ids_of_type(CONTROL)],
        "model_max_length": header.context_length,
    }
    if header.chat_template:
        config["chat_template"] = header.chat_template
    write_json(target / "tokenizer_config.json", config)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1), encoding="utf-8")
