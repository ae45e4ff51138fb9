"""LoRA adapters of a loaded model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.llama_cpp.library import error_lines, library
from xinfer.model.llama_cpp.model import LlamaModel


def load_adapters(model: LlamaModel, paths: Mapping[str, str]) -> dict[str, Any]:
    """llama.cpp's adapters by the names that requests give; the model releases them.

    Raises:
        InvalidRequest: a file is not there, or is no adapter of this model.
    """
    return {name: _load(model, name, path) for name, path in paths.items()}


def _load(model: LlamaModel, name: str, path: str) -> Any:
    if not Path(path).is_file():
        raise InvalidRequest(f"LoRA adapter {name}: there is no file {path}.", param="lora")
    with error_lines() as lines:
        adapter = library().llama_adapter_lora_init(model.pointer, path.encode())
    if not adapter:
        reason = "; ".join(dict.fromkeys(lines)) or "llama.cpp gave no reason"
        raise InvalidRequest(
            f"LoRA adapter {name}: llama.cpp cannot load {path} for this model: {reason}.",
            param="lora",
        )
    return adapter
