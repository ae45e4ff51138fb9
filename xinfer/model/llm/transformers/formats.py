"""Formats of weights, and the packages by which Transformers reads them."""

from __future__ import annotations

from importlib.util import find_spec

from xinfer.model.engine import Support

_EXTRA = "quantization"
_NEEDED: dict[str, tuple[str, ...]] = {
    "pytorch": (),
    "fp8": (),
    "bnb": ("bitsandbytes",),
    "compressed-tensors": ("compressed_tensors",),
    "gptq": ("optimum", "gptqmodel"),
    "awq": ("gptqmodel",),
}
_BUILT = ("gptq", "awq")
"""Formats whose packages are built for one version of PyTorch and CUDA, and so in no extra."""

FORMATS = tuple(_NEEDED)
UNPACKED_ON_PROCESSORS = frozenset({"fp8", "compressed-tensors"})
"""Formats of which Transformers makes plain weights where there is no accelerator."""


def why_unreadable(name: str) -> Support | None:
    """Why models in this format cannot be read here; None when they can."""
    needed = _NEEDED[name]
    missing = next((package for package in needed if find_spec(package) is None), None)
    if missing is None:
        return None
    reason = f"the package {missing} is not installed, which reads models in the format {name}"
    if name in _BUILT:
        return Support(False, f"{reason}: pip install {' '.join(needed)}")
    return Support(False, reason, _EXTRA)
