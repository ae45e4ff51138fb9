"""What a model's files say of it that the launch could not know before they were here."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.model import inspect_variants
from xinfer.types.model import ModelSpec

_LANGUAGE_MODEL = "ForCausalLM"


def with_facts(spec: ModelSpec) -> ModelSpec:
    """The model with what its files tell of its vectors, where nobody has read them yet."""
    if spec.encode is not None:
        return spec
    for found in inspect_variants(spec.path):
        if found.format == spec.format:
            return msgspec.structs.replace(
                spec,
                encode=found.encode,
                context_length=spec.context_length or found.context_length,
            )
    return spec


def is_language_model(path: str) -> bool:
    """Whether it has no head but that of a language model.

    Raises:
        InvalidRequest: there is no config.json that can be read.
    """
    file = Path(path) / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        architectures = config.get("architectures") or [""]
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidRequest(f"Cannot read {file}: {error}.", param="model_path") from None
    return str(architectures[0]).endswith(_LANGUAGE_MODEL)
