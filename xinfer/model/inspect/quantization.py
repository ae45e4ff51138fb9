"""How a model's weights are quantised, by its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xinfer.model.inspect.json_files import Listing, number, section

PYTORCH = "pytorch"
NONE = "none"

_FORMATS = {
    "gptq": "gptq",
    "gptq_marlin": "gptq",
    "awq": "awq",
    "awq_marlin": "awq",
    "fp8": "fp8",
    "fbgemm_fp8": "fp8",
    "mxfp4": "fp4",
    "nvfp4": "fp4",
    "modelopt_fp4": "fp4",
}
"""`quant_method` → the incumbent's word for the format; other methods are a format themselves."""


def quantization(config: Mapping[str, Any], files: Listing) -> tuple[str, str, int]:
    """Format, quantisation by name, and bits of a weight; 0 bits where it is not said.

    pytorch and none without any.
    """
    settings = section(config, "quantization_config", "compression_config")
    settings = settings or files.json("quantize_config.json") or _modelopt(files)
    if not settings:
        mlx = number(section(config, "quantization"), "bits")
        return ("mlx", f"{mlx}bit", mlx) if mlx else (PYTORCH, NONE, 0)
    method = str(settings.get("quant_method", "gptq" if "bits" in settings else "unknown"))
    bits = number(settings, "bits", "w_bit")
    if method == "compressed-tensors":
        return _compressed(settings)
    if method == "bitsandbytes":
        bits = 4 if settings.get("load_in_4bit") is True else 8
        return "bnb", f"{bits}-bit", bits
    form = _FORMATS.get(method, method)
    if form in ("fp8", "fp4"):
        bits = 8 if form == "fp8" else 4
        return form, form.upper(), bits
    return form, f"Int{bits}" if bits else NONE, bits


def _compressed(settings: Mapping[str, Any]) -> tuple[str, str, int]:
    """Of llm-compressor: the scheme of the first group of layers."""
    groups = section(settings, "config_groups")
    weights = next(
        (section(group, "weights") for group in groups.values() if isinstance(group, dict)), {}
    )
    bits = number(weights, "num_bits")
    if weights.get("type") == "float":
        return ("fp8", "FP8", 8) if bits == 8 else ("fp4", "FP4", 4)
    return "compressed-tensors", f"Int{bits}" if bits else NONE, bits


def _modelopt(files: Listing) -> dict[str, Any]:
    inner = section(files.json("hf_quant_config.json"), "quantization")
    algorithm = str(inner.get("quant_algo", "")).lower()
    return {"quant_method": algorithm} if algorithm else {}
