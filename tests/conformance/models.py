"""The models that engines are tested on, and the truth about each; made once a session."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.support.gguf_models import byte_level, random_llama, random_lora, script_model
from tests.support.peft_adapters import random_peft
from tests.support.recompute import (
    EchoReference,
    Recompute,
    RecomputeInTransformers,
    Reference,
)
from tools.hf_llama import llama_directory
from training.tiny_chat.score import WEIGHTS as TINY_CHAT
from xinfer.model.inspect.model import inspect_path
from xinfer.types.model import ModelSpec

SCRIPT = [
    b"Hello",
    " 你好".encode(),
    *(bytes([byte]) for byte in "🎉".encode()),
    b" and",
    " é".encode()[:2],
    "é".encode()[1:],
    b" <end",
    b"ing>",
    b" done",
]
"""What the model `script` says to anything; some tokens end inside a character."""

SCRIPT_TEXT = b"".join(SCRIPT).decode()


class Models:
    """Models by name, for each format that an engine reads.

    noise: 0.8 million random numbers in 32 bits. It says nonsense, and what it says depends on
        every token before.
    script: says `SCRIPT`, then ends.
    tiny-chat: the trained model that ships.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._paths: dict[tuple[str, str], Path] = {}
        self._references: dict[tuple[str | None, str, str | None], Reference] = {}

    def spec(self, format: str | None, name: str) -> ModelSpec:
        """What an engine of this format is given to load."""
        if format is None:
            return ModelSpec(name="echo")
        return inspect_path(str(self.path(format, name)))

    def path(self, format: str, name: str) -> Path:
        if (format, name) not in self._paths:
            self._paths[format, name] = _MAKERS[format, name](self._directory)
        return self._paths[format, name]

    def adapter(self, format: str, name: str) -> Path:
        """A LoRA adapter for the model `noise`: `left` or `right`."""
        target = self._directory / f"{name}-adapter.{format}"
        if not target.exists():
            make = {"ggufv2": random_lora, "pytorch": random_peft}[format]
            make(target, self.path(format, "noise"), seed=_ADAPTERS[name])
        return target

    def reference(self, format: str | None, name: str, adapter: str | None = None) -> Reference:
        key = format, name, adapter
        if key not in self._references:
            self._references[key] = self._refer(format, name, adapter)
        return self._references[key]

    def close(self) -> None:
        for reference in self._references.values():
            reference.close()

    def _refer(self, format: str | None, name: str, adapter: str | None) -> Reference:
        if format is None:
            return EchoReference()
        path = self.path(format, name)
        recompute = {"ggufv2": Recompute, "pytorch": RecomputeInTransformers}[format]
        return recompute(path, adapter and self.adapter(format, adapter))


def _noise_gguf(directory: Path) -> Path:
    random = np.random.default_rng(20)
    pieces = [
        random.integers(97, 123, size=size, dtype=np.uint8).tobytes()
        for size in random.integers(2, 6, size=1800)
    ]
    return random_llama(
        directory / "noise.gguf", width=128, vocabulary=byte_level(pieces), attention=3.0
    )


def _tiny_chat_directory(directory: Path) -> Path:
    """The one that ships, without the .gguf file beside it."""
    target = directory / "tiny-chat.pytorch"
    ignore = shutil.ignore_patterns("*.gguf")
    return Path(shutil.copytree(TINY_CHAT.parent, target, ignore=ignore))


_MAKERS: dict[tuple[str, str], Callable[[Path], Path]] = {
    ("ggufv2", "noise"): _noise_gguf,
    ("ggufv2", "script"): lambda directory: script_model(directory / "script.gguf", SCRIPT),
    ("ggufv2", "tiny-chat"): lambda _: TINY_CHAT,
    ("pytorch", "noise"): lambda directory: llama_directory(
        _noise_gguf(directory), directory / "noise.pytorch"
    ),
    ("pytorch", "script"): lambda directory: llama_directory(
        script_model(directory / "script.gguf", SCRIPT), directory / "script.pytorch"
    ),
    ("pytorch", "tiny-chat"): _tiny_chat_directory,
}
_ADAPTERS = {"left": 1, "right": 2}
