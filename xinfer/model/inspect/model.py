"""From a path to a `ModelSpec`, by what the files say of themselves."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from xinfer.errors import InvalidRequest, NotFound
from xinfer.model.files import LocalFiles
from xinfer.model.inspect.files import inspect_files
from xinfer.model.inspect.gguf_model import GGUF_FORMAT, describe_gguf
from xinfer.model.inspect.json_files import Listing
from xinfer.model.inspect.parts import is_piece, model_name, piece_refusal, read_parts
from xinfer.model.inspect.piper import ENDING, ONNX_FORMAT, piper_voice
from xinfer.types.model import ModelSpec


def inspect_path(path: str, *, param: str = "model_path") -> ModelSpec:
    """What lies at `path`: a .gguf file, a voice of Piper in .onnx, or a directory with exactly one
    model in it.

    A model split into parts is named by its first one. Symbolic links are resolved.

    Args:
        param: the request's field, for the error.

    Raises:
        NotFound: nothing is there.
        InvalidRequest: a relative path, no model that can be run, several of them, or files are
            missing or damaged.
    """
    models = inspect_variants(path, param=param)
    if len(models) > 1:
        found = ", ".join(sorted(Path(model.path).name for model in models))
        raise InvalidRequest(
            f"{path} holds several models: {found}. Give the path of one.", param=param
        )
    model = models[0]
    if model.format != GGUF_FORMAT:
        return model
    return inspect_variants(model.path, param=param)[0]


def inspect_variants(path: str, *, param: str = "model_path") -> list[ModelSpec]:
    """All models that lie at `path`, in all forms of their weights; one at least.

    Args, Raises: as `inspect_path`, but for a file in a directory that is incomplete: it is told
    when its own path is inspected.
    """
    try:
        resolved = _resolve(path)
        if resolved.is_dir():
            return _in_directory(resolved)
        if is_piece(resolved.name):
            raise piece_refusal(str(resolved))
        # A pipe, say, would be waited for without end.
        if resolved.suffix == ENDING and resolved.is_file():
            return [_voice_at(resolved)]
        if resolved.suffix.lower() != ".gguf" or not resolved.is_file():
            raise InvalidRequest(
                f"{resolved} is not a model: expected a .gguf file, or the directory of a model."
            )
        return [_at_file(resolved)]
    except (InvalidRequest, NotFound) as error:
        error.param = param
        raise
    except OSError as error:
        raise InvalidRequest(f"Cannot read {path!r}: {error.strerror}.", param=param) from None


def _resolve(path: str) -> Path:
    if "\0" in path:
        raise InvalidRequest("A path cannot contain a NUL character.")
    try:
        place = Path(path).expanduser()
        if not place.is_absolute():
            raise InvalidRequest(
                f"The path {path!r} is relative, and a server's working directory is not its"
                " caller's: give an absolute one."
            )
        return place.resolve(strict=True)
    except FileNotFoundError:
        raise NotFound(f"There is no file or directory {path!r}.", code="model_not_found") from None
    except RuntimeError as error:  # ~nobody, or a loop of links
        raise InvalidRequest(f"Cannot resolve {path!r}: {error}.") from None


def _in_directory(directory: Path) -> list[ModelSpec]:
    os.listdir(directory)  # that it cannot be read would pass for that it is empty
    models = inspect_files(LocalFiles(directory), name=directory.name)
    return [_located(model, directory) for model in models]


def _located(model: ModelSpec, directory: Path) -> ModelSpec:
    if model.format not in (GGUF_FORMAT, ONNX_FORMAT):
        return msgspec.structs.replace(model, path=str(directory), hub="local")
    file = directory / model.files[0]
    return msgspec.structs.replace(
        model, name=model_name(file), path=str(file.resolve(strict=True)), hub="local"
    )


def _voice_at(graph: Path) -> ModelSpec:
    if not Path(f"{graph}.json").is_file():
        raise InvalidRequest(
            f"A voice of Piper is two files, and {graph.name}.json is not beside {graph}. Copy or "
            "download it too."
        )
    model = piper_voice(Listing(LocalFiles(graph.parent)), graph.name)
    return _located(model, graph.parent)


def _at_file(file: Path) -> ModelSpec:
    parts = read_parts(file)
    model = describe_gguf(parts, name=model_name(file), size=sum(part.file_size for part in parts))
    names = tuple(Path(part.path).name for part in parts)
    return msgspec.structs.replace(model, path=str(file), files=names, hub="local")
