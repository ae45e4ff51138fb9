"""The file that turns pictures or recordings into a language model's embeddings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.gguf import GgufMetadata, read_gguf
from xinfer.model.inspect.gguf_model import is_projector

logger = logging.getLogger(__name__)

AUTO, OFF = "auto", "off"

_TOWERS = ("vision", "audio")
_SIZES = (
    "image_size",
    "patch_size",
    "num_mel_bins",
    "embedding_length",
    "feed_forward_length",
    "block_count",
    "attention.head_count",
)


def find_projector(model_path: str, option: str) -> GgufMetadata | None:
    """The header of the model's projector, which is complete; None: it has none.

    Args:
        option: its path; "off"; or "auto": what lies beside the model under the name mmproj*.gguf,
            if that is one file.

    Raises:
        InvalidRequest: the file that was asked for is none, is damaged, or is no projector.
    """
    if option == OFF:
        return None
    if option != AUTO:
        path = Path(option).expanduser()
        return _read(_only(path) if path.is_dir() else path)
    found = _beside(Path(model_path).parent)
    if len(found) > 1:
        logger.warning(
            "Beside the model are several projectors for pictures (%s), and none is taken; name "
            "one with mmproj.",
            ", ".join(path.name for path in found),
        )
    if len(found) != 1:
        return None
    try:
        projector = _read(found[0])
    except InvalidRequest as error:
        logger.warning("%s The model takes no pictures and no recordings.", error.message)
        return None
    logger.info("Taking %s, which lies beside the model", found[0])
    return projector


def _beside(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("*.gguf") if is_projector(path.name))


def _only(directory: Path) -> Path:
    found = _beside(directory)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise InvalidRequest(
            f"{directory} has not one projector for pictures but: {names}. Name a file.",
            param="mmproj",
        )
    return found[0]


def _read(path: Path) -> GgufMetadata:
    try:
        gguf = read_gguf(path)
        gguf.check_complete()
        _check(gguf)
    except OSError as error:
        raise InvalidRequest(f"Cannot read {path}: {error.strerror}.", param="mmproj") from None
    except InvalidRequest as error:
        raise InvalidRequest(error.message, param="mmproj") from None
    return gguf


def _check(gguf: GgufMetadata) -> None:
    """What llama.cpp would end the process over."""
    values = gguf.values
    towers = [name for name in _TOWERS if values.get(f"clip.has_{name}_encoder") is True]
    if gguf.architecture != "clip" or not towers:
        raise InvalidRequest(f"{gguf.path} is no projector for pictures or recordings.")
    kinds = [values.get("clip.projector_type")]
    kinds += [values.get(f"clip.{name}.projector_type") for name in towers]
    if not any(isinstance(kind, str) for kind in kinds):
        raise InvalidRequest(f"{gguf.path} does not say what kind of projector it is.")
    for name, value in values.items():
        switch = name.startswith(("clip.use_", "clip.has_"))
        if switch and not isinstance(value, bool):
            raise InvalidRequest(f"{gguf.path} has {value!r} for {name}; expected a truth value.")
    for name in towers:
        _check_sizes(gguf, name)
    if any(tensor.size is None for tensor in gguf.tensors):
        raise InvalidRequest(f"{gguf.path} has tensors of a type that is not known here.")


def _check_sizes(gguf: GgufMetadata, tower: str) -> None:
    sizes: dict[str, Any] = {name: gguf.values.get(f"clip.{tower}.{name}") for name in _SIZES}
    for name, value in sizes.items():
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise InvalidRequest(
                f"{gguf.path} has {value!r} for clip.{tower}.{name}; expected a whole number."
            )
    width, heads = sizes["embedding_length"], sizes["attention.head_count"]
    if width is not None and heads is not None and (heads < 1 or width % heads):
        raise InvalidRequest(f"{gguf.path} has {heads} attention heads in a width of {width}.")
