"""How weights are kept: format, quantisation, and how many there are however they are packed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.model_dirs import Tensors, write_model
from xinfer.model.files import LocalFiles
from xinfer.model.inspect.files import inspect_files
from xinfer.types.model import ModelSpec

LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
MATRIX = (512, 1024)


def inspect(directory: Path, settings: Any, tensors: Tensors, **files: Any) -> ModelSpec:
    config = LLAMA if settings is None else {**LLAMA, "quantization_config": settings}
    write_model(directory, config, tensors, **files)
    (model,) = inspect_files(LocalFiles(directory), name="m")
    return model


@pytest.mark.parametrize(
    ("settings", "form", "quantization", "tensors"),
    [
        (None, "pytorch", "none", {"a.weight": ("BF16", MATRIX)}),
        (
            {"quant_method": "gptq", "bits": 4, "group_size": 128},
            "gptq",
            "Int4",
            {
                "a.qweight": ("I32", (512, 128)),
                "a.qzeros": ("I32", (4, 128)),
                "a.scales": ("F16", (4, 1024)),
                "a.g_idx": ("I32", (512,)),
            },
        ),
        (
            {"quant_method": "gptq", "bits": 8},
            "gptq",
            "Int8",
            {"a.qweight": ("I32", (512, 256)), "a.scales": ("F16", (4, 1024))},
        ),
        (
            {"quant_method": "awq", "bits": 4, "version": "gemm"},
            "awq",
            "Int4",
            {"a.qweight": ("I32", (512, 128)), "a.scales": ("F16", (4, 1024))},
        ),
        (
            {"quant_method": "fp8", "fmt": "e4m3"},
            "fp8",
            "FP8",
            {"a.weight": ("F8_E4M3", MATRIX), "a.weight_scale_inv": ("F32", (4, 8))},
        ),
        (
            {"quant_method": "bitsandbytes", "load_in_4bit": True},
            "bnb",
            "4-bit",
            {
                "a.weight": ("U8", (512 * 512, 1)),
                "a.weight.absmax": ("U8", (8192,)),
                "a.weight.quant_map": ("F32", (16,)),
                "a.weight.quant_state.bitsandbytes__nf4": ("U8", (100,)),
            },
        ),
        (
            {"quant_method": "bitsandbytes", "load_in_8bit": True},
            "bnb",
            "8-bit",
            {"a.weight": ("I8", MATRIX), "a.SCB": ("F32", (512,))},
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int"}}},
            },
            "compressed-tensors",
            "Int4",
            {"a.weight_packed": ("I32", (512, 128)), "a.weight_scale": ("BF16", (512, 8))},
        ),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 8, "type": "float"}}},
            },
            "fp8",
            "FP8",
            {"a.weight": ("F8_E4M3", MATRIX), "a.weight_scale": ("BF16", (512, 1))},
        ),
        (
            {"quant_method": "mxfp4"},
            "fp4",
            "FP4",
            {"a.gate_up_proj_blocks": ("U8", (512, 512)), "a.gate_up_proj_scales": ("U8", (32,))},
        ),
    ],
)
def test_quantised_weights(
    tmp_path: Path, settings: Any, form: str, quantization: str, tensors: Tensors
) -> None:
    model = inspect(tmp_path, settings, tensors)
    assert (model.format, model.quantization) == (form, quantization)
    assert model.size_in_billions == pytest.approx(512 * 1024 / 1e9, rel=0.01)


def test_older_models_tell_it_in_a_file_of_its_own(tmp_path: Path) -> None:
    tensors = {"a.qweight": ("I32", (512, 128))}
    model = inspect(tmp_path, None, tensors, quantize_config={"bits": 4, "group_size": 128})
    assert (model.format, model.quantization) == ("gptq", "Int4")


def test_a_model_for_apples_library(tmp_path: Path) -> None:
    config = {**LLAMA, "quantization": {"group_size": 64, "bits": 4}}
    tensors = {
        "a.weight": ("U32", (512, 128)),
        "a.scales": ("F16", (512, 16)),
        "a.biases": ("F16", (512, 16)),
    }
    write_model(tmp_path, config, tensors)
    (model,) = inspect_files(LocalFiles(tmp_path), name="m")
    assert (model.format, model.quantization) == ("mlx", "4bit")
    assert model.size_in_billions == pytest.approx(512 * 1024 / 1e9, rel=0.01)
