"""From a path to a `ModelSpec`, by what the files say of themselves."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

from xinfer.errors import InvalidRequest, NotFound
from xinfer.model.inspect.gguf import GgufMetadata, refuse
from xinfer.model.inspect.parts import is_first_part, model_name, read_parts
from xinfer.types.model import ModelSpec

GGUF_FORMAT = "ggufv2"

POOLING_RANK = 4


def inspect_path(path: str, *, param: str = "model_path") -> ModelSpec:
    """What lies at `path`: a .gguf file, or a directory with exactly one model in it.

    A model split into parts is named by its first one. Symbolic links are resolved.

    Raises:
        NotFound: nothing is there.
        InvalidRequest: no model that can be run, or the file is damaged; `param` names the
            request's field.
    """
    try:
        resolved = _resolve(path)
        file = _only_gguf(resolved) if resolved.is_dir() else resolved
        if file.suffix.lower() != ".gguf":
            raise InvalidRequest(
                f"{file} is not a model: expected a .gguf file, or a directory that holds one."
            )
        return _inspect_gguf(file)
    except (InvalidRequest, NotFound) as error:
        error.param = param
        raise
    except OSError as error:
        raise InvalidRequest(f"Cannot read {path!r}: {error.strerror}.", param=param) from None


def _resolve(path: str) -> Path:
    if "\0" in path:
        raise InvalidRequest("A path cannot contain a NUL character.")
    try:
        return Path(path).expanduser().resolve(strict=True)
    except FileNotFoundError:
        raise NotFound(f"There is no file or directory {path!r}.", code="model_not_found") from None
    except RuntimeError as error:  # ~nobody, or a loop of links
        raise InvalidRequest(f"Cannot resolve {path!r}: {error}.") from None


def _only_gguf(directory: Path) -> Path:
    names = sorted(os.listdir(directory))
    found = [name for name in names if name.lower().endswith(".gguf") and is_first_part(name)]
    found = [name for name in found if not is_projector(name)] or found
    if len(found) == 1:
        return (directory / found[0]).resolve(strict=True)
    if found:
        raise InvalidRequest(
            f"{directory} holds several models: {', '.join(found)}. Give the path of one."
        )
    _refuse_directory(directory, names)


def is_projector(name: str) -> bool:
    """Whether a file is called as those that give a model its sight."""
    return name.lower().startswith("mmproj")


def _refuse_directory(directory: Path, names: list[str]) -> NoReturn:
    weights = [name for name in names if name.endswith((".safetensors", ".bin", ".pt", ".pth"))]
    if weights:
        raise InvalidRequest(
            f"{directory} holds weights in PyTorch's formats ({weights[0]}). The engines for "
            "these come with the extras transformers and vllm "
            "(pip install 'xinfer[transformers]'); the base install runs .gguf files."
        )
    raise InvalidRequest(f"{directory} holds no model: expected a .gguf file in it.")


def _inspect_gguf(file: Path) -> ModelSpec:
    parts = read_parts(file)
    first = parts[0]
    if not first.architecture:
        refuse(str(file), "it has no general.architecture")
    kind = first.values.get("general.type", "model")
    if kind != "model" or first.architecture == "clip":
        refuse(str(file), f"it is an addition to a model ({kind}), not a model")
    parameters = sum(part.parameters for part in parts)
    return ModelSpec(
        name=model_name(file),
        type=_type(first),
        family=first.architecture,
        format=GGUF_FORMAT,
        path=str(file),
        size_in_billions=float(f"{parameters / 1e9:.3g}") if parameters else None,
        quantization=first.quantization,
        context_length=first.context_length,
        abilities=_abilities(first),
        languages=_languages(first),
        description=str(first.values.get("general.name", "")),
        hub="local",
        size_bytes=sum(part.file_size for part in parts),
    )


def _type(gguf: GgufMetadata) -> str:
    pooling = gguf.values.get(f"{gguf.architecture}.pooling_type", 0)
    if not pooling:
        return "LLM"
    return "rerank" if pooling == POOLING_RANK else "embedding"


def _abilities(gguf: GgufMetadata) -> tuple[str, ...]:
    if _type(gguf) != "LLM":
        return ()
    return ("generate", "chat") if gguf.chat_template else ("generate",)


def _languages(gguf: GgufMetadata) -> tuple[str, ...]:
    languages = gguf.values.get("general.languages")
    if isinstance(languages, list) and languages:
        return tuple(map(str, languages))
    return ("en",)
