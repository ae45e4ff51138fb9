"""A model in GGUF is one file, or several parts of which the first is named."""

from __future__ import annotations

import re
from pathlib import Path

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.gguf import GgufMetadata, read_gguf, refuse
from xinfer.model.inspect.json_files import Listing

_PART = re.compile(r"-(\d{5})-of-(\d{5})$")
_PIECE = re.compile(r"\.gguf-split-[a-z]+$", re.IGNORECASE)


def read_parts(path: str | Path) -> list[GgufMetadata]:
    """The headers of a model's files, the one at `path` first; each file is complete.

    Raises:
        InvalidRequest: a part is missing, damaged or too short, or `path` is not the first.
        OSError: a file cannot be read.
    """
    path = Path(path)
    first = read_gguf(path)
    parts = [first, *(read_gguf(other) for other in _others(path, first))]
    for part in parts:
        part.check_complete()
    return parts


def model_name(path: Path) -> str:
    """The file's name without ending and part number."""
    return _PART.sub("", path.stem)


def is_first_part(name: str) -> bool:
    """Whether a file of this name can be the one that stands for the model."""
    part = _PART.search(Path(name).stem)
    return part is None or int(part[1]) == 1


def is_piece(name: str) -> bool:
    """Whether a file is called as those that were once cut off a .gguf file, of any length."""
    return _PIECE.search(name) is not None


def piece_refusal(name: str) -> InvalidRequest:
    """The refusal of such a file, which no engine reads."""
    whole = _PIECE.sub(".gguf", name.rpartition("/")[2])
    return InvalidRequest(
        f"{name} is a piece that was cut off a .gguf file. Join all pieces, `cat {whole}-split-* > "
        f"{whole}`, and launch that file by its path; or take another quantisation.",
        param="model_name",
    )


def _others(path: Path, first: GgufMetadata) -> list[Path]:
    if first.parts == 1:
        return []
    part = _PART.search(path.stem)
    if part is None or int(part[1]) != 1 or int(part[2]) != first.parts:
        refuse(
            str(path),
            f"it is one of {first.parts} parts. Give the path of the first, "
            f"…-00001-of-{first.parts:05}.gguf, under its original name",
        )
    others = [path.with_name(name) for name in _names(path.name)[1:]]
    missing = [other.name for other in others if not other.is_file()]
    if missing:
        refuse(str(path), f"parts of the model are missing beside it: {', '.join(missing)}")
    return others


def part_names(first: str, files: Listing) -> tuple[str, ...]:
    """The names of all parts of a model, by the name of its first; that alone if it is whole.

    Raises:
        InvalidRequest: a part is not there.
    """
    folder, _, name = first.rpartition("/")
    names = [f"{folder}/{one}" if folder else one for one in _names(name)]
    missing = [one for one in names if one not in files]
    if missing:
        refuse(
            f"{files.where}/{first}",
            f"parts of the model are missing beside it: {', '.join(missing[:5])}",
        )
    return tuple(names)


def _names(first: str) -> list[str]:
    """Of all parts, in order."""
    stem, dot, ending = first.rpartition(".")
    part = _PART.search(stem)
    if part is None:
        return [first]
    base = stem[: part.start()]
    return [
        f"{base}-{number:05}-of-{part[2]}{dot}{ending}" for number in range(1, int(part[2]) + 1)
    ]
