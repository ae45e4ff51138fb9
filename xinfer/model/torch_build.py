"""What the installed PyTorch can compute on."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def torch_accelerators() -> frozenset[str]:
    """Kinds of accelerator (cuda, rocm, metal) of the installed build. Imports nothing of it: that
    takes seconds, and wakes drivers."""
    found = find_spec("torch")
    if found is None or found.origin is None:
        return frozenset()
    libraries = Path(found.origin).parent / "lib"
    names = {file.name for file in libraries.iterdir()} if libraries.is_dir() else set()
    kinds = {
        "cuda": any(name.startswith("libtorch_cuda.") for name in names),
        "rocm": any(name.startswith("libtorch_hip.") for name in names),
        "metal": "libtorch_cpu.dylib" in names,
    }
    return frozenset(kind for kind, there in kinds.items() if there)
