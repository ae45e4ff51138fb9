"""Diffusion pipelines, by the folders of their parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.model_dirs import write_json, write_safetensors
from xinfer.errors import InvalidRequest
from xinfer.model.files import LocalFiles
from xinfer.model.inspect.files import inspect_files
from xinfer.types.model import ModelSpec

SDXL = {
    "_class_name": "StableDiffusionXLPipeline",
    "_diffusers_version": "0.19.0",
    "force_zeros_for_empty_prompt": True,
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
UNET = "diffusion_pytorch_model"


@pytest.fixture
def sdxl(tmp_path: Path) -> Path:
    write_json(tmp_path / "model_index.json", SDXL)
    write_json(tmp_path / "scheduler" / "scheduler_config.json", {"_class_name": "Euler"})
    write_json(tmp_path / "tokenizer" / "vocab.json", {})
    write_json(tmp_path / "text_encoder" / "config.json", {"architectures": ["CLIPTextModel"]})
    write_json(tmp_path / "unet" / "config.json", {"_class_name": "UNet2DConditionModel"})
    write_json(tmp_path / "vae" / "config.json", {"_class_name": "AutoencoderKL"})
    for part, stem, rows in (
        ("text_encoder", "model", 1000),
        ("unet", UNET, 3000),
        ("vae", UNET, 500),
    ):
        write_safetensors(tmp_path / part / f"{stem}.safetensors", {"w": ("F32", [rows, 1000])})
        write_safetensors(
            tmp_path / part / f"{stem}.fp16.safetensors", {"w": ("F16", [rows, 1000])}
        )
    write_safetensors(tmp_path / "sd_xl_base_1.0.safetensors", {"w": ("F16", [9, 9])})
    (tmp_path / "unet" / "model.onnx").write_bytes(b"x")
    return tmp_path


def inspect(directory: Path) -> ModelSpec:
    (model,) = inspect_files(LocalFiles(directory), name="m")
    return model


def test_all_parts_count_and_each_once(sdxl: Path) -> None:
    model = inspect(sdxl)
    assert (model.type, model.format) == ("image", "diffusers")
    assert model.architecture == "StableDiffusionXLPipeline"
    assert model.size_in_billions == pytest.approx(0.0045)
    weights = [name for name in model.files if name.endswith(".safetensors")]
    assert sorted(weights) == [
        "text_encoder/model.safetensors",
        f"unet/{UNET}.safetensors",
        f"vae/{UNET}.safetensors",
    ]
    assert model.files[0] == "model_index.json"
    assert {"scheduler/scheduler_config.json", "tokenizer/vocab.json"} <= set(model.files)
    assert model.size_bytes == sum((sdxl / name).stat().st_size for name in weights)


def test_halved_weights_are_taken_where_there_are_no_others(sdxl: Path) -> None:
    (sdxl / "unet" / f"{UNET}.safetensors").unlink()
    assert f"unet/{UNET}.fp16.safetensors" in inspect(sdxl).files


def test_a_part_without_weights_is_named(sdxl: Path) -> None:
    for file in (sdxl / "vae").glob("*.safetensors"):
        file.unlink()
    with pytest.raises(InvalidRequest, match="folder vae/ of its model has no weights"):
        inspect(sdxl)


@pytest.mark.parametrize(
    ("name", "kind", "abilities"),
    [
        ("StableDiffusionXLPipeline", "image", ("text2image", "image2image", "inpainting")),
        ("FluxPipeline", "image", ("text2image", "image2image", "inpainting")),
        ("FluxKontextPipeline", "image", ("image2image",)),
        ("QwenImageEditPipeline", "image", ("image2image",)),
        ("FluxFillPipeline", "image", ("inpainting",)),
        ("PixArtSigmaPipeline", "image", ("text2image",)),
        ("WanPipeline", "video", ("text2video",)),
        ("WanImageToVideoPipeline", "video", ("image2video",)),
        ("HunyuanVideoPipeline", "video", ("text2video",)),
    ],
)
def test_what_pipelines_do(sdxl: Path, name: str, kind: str, abilities: tuple[str, ...]) -> None:
    write_json(sdxl / "model_index.json", {**SDXL, "_class_name": name})
    model = inspect(sdxl)
    assert (model.type, model.abilities) == (kind, abilities)


def test_an_index_that_names_no_pipeline(sdxl: Path) -> None:
    write_json(sdxl / "model_index.json", {"unet": ["diffusers", "X"]})
    with pytest.raises(InvalidRequest, match="names no pipeline"):
        inspect(sdxl)
