"""LoRA adapters of PEFT, for models that `tools.hf_llama` writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from tools.hf_llama import write_json

Array = NDArray[np.float32]


def random_peft(path: Path, base: Path, *, seed: int = 1, rank: int = 4) -> Path:
    """A LoRA adapter of PEFT for such a directory: the numbers of `gguf_models.random_lora`."""
    config = json.loads((base / "config.json").read_text())
    width, wide = config["hidden_size"], config["intermediate_size"]
    random = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}
    for layer in range(config["num_hidden_layers"]):
        for name, rows, columns in (
            ("self_attn.v_proj", width, width),
            ("mlp.down_proj", width, wide),
        ):
            for letter, shape in (("A", (rank, columns)), ("B", (rows, rank))):
                values = random.standard_normal(shape, dtype=np.float32)
                key = f"base_model.model.model.layers.{layer}.{name}.lora_{letter}.weight"
                tensors[key] = values / np.float32(np.sqrt(shape[1]))
    path.mkdir(parents=True)
    save_file(tensors, path / "adapter_model.safetensors", metadata={"format": "pt"})
    write_json(
        path / "adapter_config.json",
        {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": "",
            "r": rank,
            "lora_alpha": rank,
            "target_modules": ["v_proj", "down_proj"],
        },
    )
    return path
