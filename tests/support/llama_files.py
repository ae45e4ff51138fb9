"""Files that look like a model of Transformers': with a header that can be read, and random
weights that mean nothing."""

from __future__ import annotations

import json
import os

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "max_position_embeddings": 512,
    "vocab_size": 256,
    "torch_dtype": "float16",
}


def safetensors(size: int) -> bytes:
    """A file of about so many bytes, an even number, with one tensor."""
    tensor = {"dtype": "F16", "shape": [size // 2], "data_offsets": [0, size]}
    header = json.dumps({"model.embed_tokens.weight": tensor}).encode()
    return len(header).to_bytes(8, "little") + header + os.urandom(size)


def llama_files(size: int) -> dict[str, bytes]:
    """A repository of one."""
    return {"config.json": json.dumps(CONFIG).encode(), "model.safetensors": safetensors(size)}
