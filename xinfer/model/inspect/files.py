"""What a directory or repository holds: each model, in each form of its weights."""

from __future__ import annotations

from xinfer.model.files import ModelFiles
from xinfer.model.inspect.directory import inspect_directory
from xinfer.model.inspect.gguf_model import gguf_variants
from xinfer.model.inspect.json_files import Listing
from xinfer.model.inspect.piper import piper_variants
from xinfer.types.model import ModelSpec


def inspect_files(files: ModelFiles, *, name: str) -> list[ModelSpec]:
    """One `ModelSpec` for each variant, `files` set and `path` empty; one at least.

    Reads small files whole, and of weights the headers alone: of those in GGUF one of each model.

    Args:
        name: what the model is called; some kinds are told by it alone.

    Raises:
        InvalidRequest: there is no model that is served, files are missing, damaged or too
            short; what was found and what is expected is said.
        NotFound, Unavailable, Forbidden: as of `ModelFiles`.
    """
    listing = Listing(files)
    variants = gguf_variants(listing, name=name) or piper_variants(listing)
    if variants and not _is_directory_model(listing):
        return variants
    return [inspect_directory(listing, name=name), *variants]


def _is_directory_model(files: Listing) -> bool:
    """Whether beside models that are a file each there is one in another format."""
    return any(name in files for name in ("config.json", "modules.json", "model_index.json")) and (
        "model_index.json" in files or any(_is_weights(name) for name in files.by_name)
    )


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors") and "/" not in name and not name.startswith("adapter_")
