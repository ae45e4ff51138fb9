"""Which files of a directory are needed beside the weights that were chosen."""

from __future__ import annotations

import re
from collections.abc import Collection

from xinfer.model.inspect.json_files import Listing

_WEIGHTS = re.compile(
    r"\.(safetensors|bin|pt|pth|ckpt|pkl|pickle|h5|msgpack|onnx|onnx_data|tflite|ot|gguf|npz|mlmodel"
    r"|nemo|engine|plan|xml|tar|zip|gz)$|\.index\.json$"
)
_SHOWN = re.compile(r"\.(png|jpe?g|gif|webp|svg|mp4|mov|wav|mp3|flac|pdf|ipynb|csv|parquet)$", re.I)
_COPIES = (
    "onnx/",
    "openvino/",
    "original/",
    "coreml/",
    "metal/",
    "tf/",
    "flax/",
    "mlx/",
    "figures/",
)


def needed_files(files: Listing, weights: Collection[str], folders: Collection[str]) -> list[str]:
    """The weights, then the small files: configurations, tokenizers, templates, program code.

    Args:
        weights: names, the one that is loaded first in front.
        folders: that parts of the model lie in, each with a `/` at its end; besides the directory.
    """
    chosen = list(dict.fromkeys(weights))
    listed = set(chosen)
    for name in files.by_name:
        folder = name[: name.rfind("/") + 1]
        here = not folder or folder.startswith(tuple(folders))
        if name in listed or not here or folder.startswith(_COPIES):
            continue
        if _SHOWN.search(name) or (_WEIGHTS.search(name) and not _is_index(name, listed)):
            continue
        chosen.append(name)
    return chosen


def _is_index(name: str, weights: set[str]) -> bool:
    """Whether it is the list of tensors of the weights that were chosen."""
    stem = name.rpartition(".index.json")[0].rpartition(".")[0]
    return bool(stem) and any(one.startswith(f"{stem}-") for one in weights)
