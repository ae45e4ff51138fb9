"""LoRA adapters of a loaded model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.gguf import GgufMetadata, read_gguf
from xinfer.model.llama_cpp.binding import error_lines, library
from xinfer.model.llama_cpp.model import LlamaModel
from xinfer.types.model import LoraAdapter

_ALORA = "adapter.alora.invocation_tokens"


class LoadedAdapter(NamedTuple):
    """llama.cpp's adapter, which the model releases, and how strongly it is applied."""

    pointer: Any
    scale: float


def load_adapters(
    model: LlamaModel, gguf: GgufMetadata, adapters: Mapping[str, str | LoraAdapter]
) -> dict[str, LoadedAdapter]:
    """llama.cpp's adapters by the names that requests give.

    Args:
        gguf: the model's header.

    Raises:
        InvalidRequest: a file is not there, or is no adapter of this model; names the adapter.
    """
    loaded = {}
    for name, given in adapters.items():
        adapter = LoraAdapter(given) if isinstance(given, str) else given
        path = Path(adapter.path).expanduser()
        try:
            _check(path, gguf.architecture)
            loaded[name] = LoadedAdapter(_load(model, path), adapter.scale)
        except InvalidRequest as error:
            raise InvalidRequest(f"LoRA adapter {name}: {error.message}", param="lora") from error
    return loaded


def adapter_bytes(adapters: Mapping[str, str | LoraAdapter]) -> int:
    """What the adapters take; one that is not there is found out when they are loaded."""
    paths = {each if isinstance(each, str) else each.path for each in adapters.values()}
    files = [Path(path).expanduser() for path in paths]
    return sum(file.stat().st_size for file in files if file.is_file())


def _check(path: Path, architecture: str) -> None:
    """What llama.cpp would end the process over, or explain worse."""
    if path.is_dir():
        raise InvalidRequest(
            f"{path} is a directory; expected a .gguf file, as llama.cpp's convert_lora_to_gguf.py "
            "makes it of one."
        )
    try:
        gguf = read_gguf(path)
    except OSError as error:
        raise InvalidRequest(f"cannot read {path}: {error.strerror}.") from None
    gguf.check_complete()
    kind = gguf.values.get("general.type"), gguf.values.get("adapter.type")
    if kind != ("adapter", "lora"):
        raise InvalidRequest(f"{path} is no LoRA adapter (its type is {kind[1] or kind[0]}).")
    if gguf.architecture != architecture:
        raise InvalidRequest(
            f"{path} is for models of the architecture {gguf.architecture or 'unknown'}, and this "
            f"one is of {architecture}."
        )
    if not isinstance(gguf.values.get("adapter.lora.alpha", 0.0), float):
        raise InvalidRequest(f"{path}: its adapter.lora.alpha is no floating-point number.")
    if _ALORA in gguf.values:
        raise InvalidRequest(
            f"{path} is an activated LoRA, which begins in the middle of a prompt; expected one "
            "that holds for all of it."
        )


def _load(model: LlamaModel, path: Path) -> Any:
    with error_lines() as lines:
        pointer = library().llama_adapter_lora_init(model.pointer, str(path).encode())
    if not pointer:
        reason = "; ".join(dict.fromkeys(lines)) or "it gave no reason"
        raise InvalidRequest(f"llama.cpp cannot load {path} for this model: {reason}.")
    return pointer
