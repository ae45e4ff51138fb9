"""The benchmarks' model in Transformers' format: the same one, with 32-bit weights."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.model import model_path
from tools.hf_llama import llama_directory


def model_directory() -> Path:
    """The directory, made beside the file when it is not there."""
    source = model_path()
    target = source.with_name(f"{source.stem}-f32")
    if not target.exists():
        with tempfile.TemporaryDirectory(dir=source.parent) as making:
            llama_directory(source, Path(making) / target.name).rename(target)
    return target
