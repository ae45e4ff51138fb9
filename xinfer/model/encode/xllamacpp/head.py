"""The classification head of a rerank model, read from its file and computed in numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.gguf import GgufMetadata, Tensor

_DENSE, _OUTPUT = "cls.weight", "cls.output.weight"
_BIASES = {_DENSE: "cls.bias", _OUTPUT: "cls.output.bias"}
_LAST_TOKEN = ("qwen3", "qwen3vl")
"""Architectures whose head looks at the last token and gives probabilities."""
_OTHER_HEADS = ("modern-bert",)
"""Those whose head is built otherwise."""

Array = NDArray[np.float32]


class Head:
    """A layer with tanh, a projection, or one after the other.

    Args:
        parts: headers of the model's files, which passed `check_readable`.
        width: numbers in a row.
    """

    def __init__(self, parts: Sequence[GgufMetadata], width: int) -> None:
        found = _tensors(parts)
        self._layers: dict[str, tuple[Array, Array | None]] = {}
        for name in (_DENSE, _OUTPUT):
            if name in found:
                matrix = _read(*found[name]).reshape(-1, width)
                bias = found.get(_BIASES[name])
                self._layers[name] = matrix, _read(*bias) if bias else None
        last, _ = list(self._layers.values())[-1]
        self.scores = len(last)
        self.probabilities = parts[0].architecture in _LAST_TOKEN

    def __call__(self, row: Array) -> Array:
        """(width,) to (scores,)."""
        for name, (matrix, bias) in self._layers.items():
            row = matrix @ row if bias is None else matrix @ row + bias
            if name == _DENSE:
                row = np.tanh(row)
        if self.probabilities:
            powers = np.exp(row - row.max())
            row = powers / powers.sum()
        return row.astype(np.float32)


def check_readable(parts: Sequence[GgufMetadata]) -> str:
    """The pooling (cls or last) that gives the head what it looks at.

    Raises:
        InvalidRequest: the model has no head, or one that is not read here.
    """
    gguf = parts[0]
    found = _tensors(parts)
    heads = [name for name in (_DENSE, _OUTPUT) if name in found]
    width = gguf.values.get(f"{gguf.architecture}.embedding_length", 0)
    if not heads or not width or found[heads[-1]][1].elements % width:
        raise InvalidRequest(
            f"{gguf.path} is no rerank model: it has no classification head.",
            param="model_path",
        )
    kinds = {found[name][1].kind for name in heads} - set(_READERS)
    if kinds or gguf.architecture in _OTHER_HEADS:
        what = f"is stored as {', '.join(sorted(kinds))}" if kinds else "is of another kind"
        raise InvalidRequest(
            f"{gguf.path}: its classification head {what}, which this engine does not read. Take "
            "a file whose head is F32, F16, BF16 or Q8_0, or the engine llama.cpp of the extra "
            "llama-cpp (pip install 'xinfer[llama-cpp]').",
            param="model_path",
        )
    return "last" if gguf.architecture in _LAST_TOKEN else "cls"


def _tensors(parts: Sequence[GgufMetadata]) -> dict[str, tuple[GgufMetadata, Tensor]]:
    wanted = {_DENSE, _OUTPUT, *_BIASES.values()}
    return {
        tensor.name: (part, tensor)
        for part in parts
        for tensor in part.tensors
        if tensor.name in wanted
    }


def _read(part: GgufMetadata, tensor: Tensor) -> Array:
    with Path(part.path).open("rb") as file:
        file.seek(part.data_offset + tensor.offset)
        data = file.read(tensor.size or 0)
    return _READERS[tensor.kind](data)


def _q8_0(data: bytes) -> Array:
    blocks = np.frombuffer(data, np.dtype([("scale", "<f2"), ("values", "i1", 32)]))
    return (blocks["values"] * blocks["scale"].astype(np.float32)[:, None]).ravel()


def _bf16(data: bytes) -> Array:
    return (np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32)


_READERS = {
    "F32": lambda data: np.frombuffer(data, "<f4").astype(np.float32),
    "F16": lambda data: np.frombuffer(data, "<f2").astype(np.float32),
    "BF16": _bf16,
    "Q8_0": _q8_0,
}
