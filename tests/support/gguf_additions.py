"""What goes with a tiny GGUF model: LoRA adapters, and the same merged into its weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

ADAPTED = ("attn_q", "attn_v", "attn_output", "ffn_down")
"""Matrices that the adapters change."""


def lora_adapter(
    path: Path,
    base: Path,
    *,
    seed: int = 1,
    rank: int = 4,
    alpha: float = 8.0,
    architecture: str = "llama",
    kind: str = "lora",
) -> Path:
    """An adapter with random numbers for a model of `random_llama`; it changes what that says."""
    shapes = {tensor.name: tensor.shape for tensor in gguf.GGUFReader(base).tensors}
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", kind)
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, (columns, rows) in ((n, s) for n, s in shapes.items() if len(s) == 2):
        if any(part in name for part in ADAPTED):
            for letter, shape in (("a", (rank, columns)), ("b", (rows, rank))):
                values = random.standard_normal(shape, dtype=np.float32)
                values *= np.float32(1 / np.sqrt(columns if letter == "a" else rank))
                writer.add_tensor(f"{name}.lora_{letter}", values)
    _finish(writer)
    return path


def merged(path: Path, base: Path, adapter: Path, *, scale: float = 1.0) -> Path:
    """A copy of `base` (in 32 bits) with an adapter's difference added to its weights."""
    shutil.copyfile(base, path)
    weights = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path, "r+").tensors}
    reader = gguf.GGUFReader(adapter)
    alpha = float(reader.fields["adapter.lora.alpha"].contents())
    parts: dict[str, NDArray[Any]] = {tensor.name: tensor.data for tensor in reader.tensors}
    for name in [name for name in parts if name.endswith(".lora_a")]:
        target = name.removesuffix(".lora_a")
        low, high = parts[name], parts[f"{target}.lora_b"]
        weights[target] += np.float32(scale * alpha / len(low)) * (high @ low)
    return path


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
