"""Directories as hubs have them, of configurations and of weights that take no space."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xinfer.model.files import LocalFiles, ModelFile
from xinfer.model.inspect.safetensors import BITS

Tensors = Mapping[str, tuple[str, Sequence[int]]]
"""Name → type and shape."""


def write_safetensors(
    path: Path, tensors: Tensors, metadata: Mapping[str, str] | None = None
) -> Path:
    """A file with this header, and a hole where its data would be."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, (dtype, shape) in tensors.items():
        begin, end = end, end + math.prod(shape) * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
    data = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(data).to_bytes(8, "little") + data)
        file.truncate(8 + len(data) + end)
    return path


def write_json(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def write_model(
    directory: Path,
    config: Mapping[str, Any] | None,
    tensors: Tensors | None = None,
    **files: Any,
) -> Path:
    """config.json, model.safetensors with one tensor at least, and more JSON files.

    Args:
        files: content by the file's name without `.json`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if config is not None:
        write_json(directory / "config.json", config)
    write_safetensors(directory / "model.safetensors", tensors or {"w.weight": ("BF16", [4, 4])})
    for name, content in files.items():
        write_json(directory / f"{name}.json", content)
    return directory


def decoder_tensors(
    layers: int,
    hidden: int,
    *,
    key: int,
    vocab: int,
    inner: int,
    tied: bool = False,
    dtype: str = "BF16",
    prefix: str = "model.",
) -> dict[str, tuple[str, list[int]]]:
    """The tensors of a model like Llama, under Transformers' names.

    Args:
        key: elements of a token's keys in a layer.
    """
    tensors: dict[str, tuple[str, list[int]]] = {
        f"{prefix}embed_tokens.weight": (dtype, [vocab, hidden])
    }
    for layer in range(layers):
        attention, mlp = f"{prefix}layers.{layer}.self_attn.", f"{prefix}layers.{layer}.mlp."
        tensors |= {
            f"{attention}q_proj.weight": (dtype, [hidden, hidden]),
            f"{attention}k_proj.weight": (dtype, [key, hidden]),
            f"{attention}v_proj.weight": (dtype, [key, hidden]),
            f"{attention}o_proj.weight": (dtype, [hidden, hidden]),
            f"{mlp}gate_proj.weight": (dtype, [inner, hidden]),
            f"{mlp}up_proj.weight": (dtype, [inner, hidden]),
            f"{mlp}down_proj.weight": (dtype, [hidden, inner]),
        }
    if not tied:
        tensors["lm_head.weight"] = (dtype, [vocab, hidden])
    return tensors


class RemoteFiles:
    """The files of a directory as if they were on a hub; it notes what is read of them."""

    def __init__(self, directory: Path) -> None:
        self._files = LocalFiles(directory)
        self.where = "huggingface:some/model"
        self.read_bytes: dict[str, int] = {}
        self.reads = 0

    def list(self) -> tuple[ModelFile, ...]:
        return self._files.list()

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        data = self._files.read(name, start, size)
        self.read_bytes[name] = self.read_bytes.get(name, 0) + len(data)
        self.reads += 1
        return data
