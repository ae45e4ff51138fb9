"""Which files of a repository an engine needs. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

from xinfer.errors import InvalidRequest, NotFound
from xinfer.model.files import ModelFile

Needed = Callable[[Sequence[ModelFile]], tuple[str, ...]]
"""From a listing to the names of the files that are needed; raises NotFound where they are not
all there."""

GGUF = "ggufv2"

_PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.[^/]+)")
_OTHER_FORMS = frozenset(
    {"original", "onnx", "openvino", "coreml", "tf", "flax", "jax", "gguf", "metal", "runs"}
)
"""Directories that hold the same weights once more, or the history of a training."""
_PICKLED = frozenset({".bin", ".pt", ".pth", ".ckpt"})
_HEADS = frozenset({"sparse_linear.pt"})
"""Weights beside those of the model itself: bge-m3's for sparse vectors."""
_DESCRIBING = frozenset(
    {
        ".json",
        ".py",
        ".txt",
        ".model",
        ".jinja",
        ".tiktoken",
        ".yaml",
        ".yml",
        ".vocab",
        ".bpe",
        ".spm",
    }
)
_VARIANT = re.compile(r"\.(fp16|bf16|fp32|non_ema)(?=[.-])")
_LICENCE = re.compile(r"(LICEN[SC]E|NOTICE|USE_POLICY)", re.IGNORECASE)
_NO_WEIGHTS = re.compile(r"^(training_args|optimizer|scheduler|rng_state|scaler)")


def needed_files(
    listing: Sequence[ModelFile], format: str, files: Sequence[str] = ()
) -> tuple[str, ...]:
    """Names of the files to have, those that are loaded first; what describes the model follows.

    Args:
        format: of the model: ggufv2, or any of those that are directories of safetensors.
        files: exactly these, with all parts of those that are divided; empty for all that the
            format needs.

    Raises:
        NotFound: a file or a part of one is not there, or the listing has no weights.
        InvalidRequest: there are several .gguf files, and `files` does not choose.
    """
    names = [file.name for file in listing]
    if files:
        return _with_parts(files, names)
    if format == GGUF:
        return _the_only_gguf(names)
    return _of_directory(names)


def whole_sets(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Files that belong together by the first's name: the parts of one that is divided, where all
    of them are there, or just itself."""
    there = sorted(names)
    known = frozenset(there)
    found: dict[str, tuple[str, ...]] = {}
    for name in there:
        match = _PART.fullmatch(name)
        if match is None:
            found[name] = (name,)
        elif int(match["number"]) == 1:
            parts = _parts(match)
            if known.issuperset(parts):
                found[name] = parts
    return found


def _with_parts(files: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    wanted: list[str] = []
    for file in files:
        match = _PART.fullmatch(file)
        wanted.extend(_parts(match) if match else (file,))
    absent = [name for name in wanted if name not in names]
    if absent:
        there = ", ".join(sorted(name for name in names if name.endswith(".gguf"))[:20])
        raise NotFound(
            f"There is no file {absent[0]}." + (f" There are: {there}." if there else ""),
            code="file_not_found",
        )
    return tuple(dict.fromkeys(wanted))


def _the_only_gguf(names: Sequence[str]) -> tuple[str, ...]:
    sets = whole_sets(
        name for name in names if name.lower().endswith(".gguf") and "mmproj" not in name.lower()
    )
    if not sets:
        raise NotFound("There is no whole .gguf file.", code="no_weights")
    if len(sets) > 1:
        raise InvalidRequest(
            f"There are several .gguf files: {', '.join(list(sets)[:20])}. Choose one by its "
            "quantization.",
            code="ambiguous_file",
            param="quantization",
        )
    return next(iter(sets.values()))


def _of_directory(names: Sequence[str]) -> tuple[str, ...]:
    paths = [PurePosixPath(name) for name in names]
    paths = [path for path in paths if not _OTHER_FORMS.intersection(path.parts[:-1])]
    weights: list[PurePosixPath] = []
    for directory in sorted({path.parent for path in paths}):
        weights.extend(_weights([path for path in paths if path.parent == directory]))
    _check_parts(weights)
    if not weights:
        raise NotFound(
            "There are no weights as safetensors or in PyTorch's format.", code="no_weights"
        )
    describing = [
        path
        for path in paths
        if path.suffix.lower() in _DESCRIBING or path.name in _HEADS or _LICENCE.match(path.name)
    ]
    return tuple(dict.fromkeys(str(path) for path in (*weights, *sorted(describing))))


def _weights(paths: Sequence[PurePosixPath]) -> list[PurePosixPath]:
    """Of one directory, each tensor once: safetensors rather than pickles."""
    chosen = sorted(path for path in paths if path.suffix == ".safetensors")
    if not chosen:
        chosen = sorted(
            path for path in paths if path.suffix in _PICKLED and not _NO_WEIGHTS.match(path.name)
        )
    names = {path.name for path in chosen}
    plain = [path for path in chosen if _VARIANT.sub("", path.name) == path.name]
    chosen = [path for path in chosen if path in plain or _VARIANT.sub("", path.name) not in names]
    merged = [path for path in chosen if not path.name.startswith("consolidated")]
    return merged or chosen


def _check_parts(weights: Sequence[PurePosixPath]) -> None:
    there = {str(path) for path in weights}
    for name in sorted(there):
        match = _PART.fullmatch(name)
        for part in _parts(match) if match else ():
            if part not in there:
                raise NotFound(
                    f"There is no file {part}, a part of the weights.", code="no_weights"
                )


def _parts(match: re.Match[str]) -> tuple[str, ...]:
    count = min(int(match["count"]), 10_000)
    return tuple(
        f"{match['stem']}-{number:05}-of-{match['count']}{match['suffix']}"
        for number in range(1, count + 1)
    )
