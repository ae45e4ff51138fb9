"""A model in GGUF is one file, or several parts of which the first is named."""

from __future__ import annotations

import re
from pathlib import Path

from xinfer.model.inspect.gguf import GgufMetadata, read_gguf, refuse

_PART = re.compile(r"-(\d{5})-of-(\d{5})$")


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
    others = [
        path.with_name(f"{model_name(path)}-{number:05}-of-{first.parts:05}.gguf")
        for number in range(2, first.parts + 1)
    ]
    missing = [other.name for other in others if not other.is_file()]
    if missing:
        refuse(str(path), f"parts of the model are missing beside it: {', '.join(missing)}")
    return others
