"""What goes with a tiny GGUF model: LoRA adapters, the same merged into it, vision towers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

ADAPTED = ("attn_q", "attn_v", "attn_output", "ffn_down")
"""Matrices that the adapters change."""


def lora_adapter(
    path: Path,
    base: Path,
    *,
    seed: int = 1,
    rank: int = 4,
    alpha: float = 8.0,
    architecture: str = "llama",
    kind: str = "lora",
) -> Path:
    """An adapter with random numbers for a model of `random_llama`; it changes what that says."""
    shapes = {tensor.name: tensor.shape for tensor in gguf.GGUFReader(base).tensors}
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_type("adapter")
    writer.add_string("adapter.type", kind)
    writer.add_float32("adapter.lora.alpha", alpha)
    for name, (columns, rows) in ((n, s) for n, s in shapes.items() if len(s) == 2):
        if any(part in name for part in ADAPTED):
            for letter, shape in (("a", (rank, columns)), ("b", (rows, rank))):
                values = random.standard_normal(shape, dtype=np.float32)
                values *= np.float32(1 / np.sqrt(columns if letter == "a" else rank))
                writer.add_tensor(f"{name}.lora_{letter}", values)
    _finish(writer)
    return path


def merged(path: Path, base: Path, adapter: Path, *, scale: float = 1.0) -> Path:
    """A copy of `base` (in 32 bits) with an adapter's difference added to its weights."""
    shutil.copyfile(base, path)
    weights = {tensor.name: tensor.data for tensor in gguf.GGUFReader(path, "r+").tensors}
    reader = gguf.GGUFReader(adapter)
    alpha = float(reader.fields["adapter.lora.alpha"].contents())
    parts: dict[str, NDArray[Any]] = {tensor.name: tensor.data for tensor in reader.tensors}
    for name in [name for name in parts if name.endswith(".lora_a")]:
        target = name.removesuffix(".lora_a")
        low, high = parts[name], parts[f"{target}.lora_b"]
        weights[target] += np.float32(scale * alpha / len(low)) * (high @ low)
    return path


def as_qwen2vl(path: Path, base: Path) -> Path:
    """A copy of a model of `random_llama` as one of Qwen2-VL's kind: with M-RoPE, by which the
    tokens of a picture have fewer positions than there are of them."""
    reader = gguf.GGUFReader(base)
    writer = gguf.GGUFWriter(path, "qwen2vl")
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kinds = field.types
        writer.add_key_value(
            name.replace("llama.", "qwen2vl."),
            field.contents(),
            kinds[0],
            kinds[1] if len(kinds) > 1 else None,
        )
    writer.add_array("qwen2vl.rope.dimension_sections", [4, 6, 6, 0])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, np.array(tensor.data))
    _finish(writer)
    return path


def vision_tower(
    path: Path,
    width: int,
    *,
    kind: str = "mlp",
    seed: int = 5,
    size: int = 56,
    patch: int = 14,
    scale: float = 4.0,
) -> Path:
    """A projector file: a random transformer over the patches of a picture, then two layers into
    the `width` of the language model.

    Args:
        kind: mlp: as of LLaVA 1.5, every picture is scaled to one size and each patch of it is a
            token. qwen2vl_merger: pictures keep their form, and four patches are a token.
        size, patch: pixels along a side.
        scale: of what it says to the language model.
    """
    merges = kind != "mlp"
    inner, layers, wide = 32, 2, 64
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", kind)
    writer.add_bool("clip.use_gelu", True)
    for key, value in (
        ("image_size", size),
        ("patch_size", patch),
        ("embedding_length", inner),
        ("feed_forward_length", wide),
        ("block_count", layers),
        ("projection_dim", width),
        ("attention.head_count", 2),
    ):
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    for key in ("image_mean", "image_std"):
        writer.add_array(f"clip.vision.{key}", [0.5, 0.5, 0.5])
    if not merges:
        writer.add_array("clip.vision.feature_layer", [layers])

    def weights(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        values = random.standard_normal(shape, dtype=np.float32)
        return values * np.float32(scale / np.sqrt(np.prod(shape[1:])))

    def layer(name: str, *shape: int, scale: float = 1.0) -> None:
        writer.add_tensor(f"{name}.weight", weights(*shape, scale=scale))
        writer.add_tensor(f"{name}.bias", np.zeros(shape[0], np.float32))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(inner, np.float32))
        writer.add_tensor(f"{name}.bias", np.zeros(inner, np.float32))

    writer.add_tensor("v.patch_embd.weight", weights(inner, 3, patch, patch, scale=3.0))
    if merges:
        writer.add_tensor("v.patch_embd.weight.1", weights(inner, 3, patch, patch, scale=3.0))
    else:
        writer.add_tensor("v.class_embd", weights(1, inner)[0])
        writer.add_tensor("v.position_embd.weight", weights((size // patch) ** 2 + 1, inner))
        norm("v.pre_ln")
    norm("v.post_ln")
    for number in range(layers):
        block = f"v.blk.{number}."
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            layer(block + name, inner, inner)
        layer(block + "ffn_up", wide, inner)
        layer(block + "ffn_down", inner, wide)
        norm(block + "ln1")
        norm(block + "ln2")
    layer("mm.0", width, 4 * inner if merges else inner)
    layer("mm.2", width, width, scale=scale)
    _finish(writer)
    return path


def _finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def audio_tower(path: Path, width: int, *, seed: int = 6) -> Path:
    """A projector file that hears, as of Qwen2-Audio: a random transformer over a spectrogram of
    half a minute, each of which becomes 750 tokens of the `width` of the language model."""
    inner, layers, wide, bins, positions = 32, 2, 64, 128, 1500
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "clip")
    writer.add_type("mmproj")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_bool("clip.has_audio_encoder", True)
    writer.add_string("clip.projector_type", "qwen2a")
    writer.add_bool("clip.use_gelu", True)
    for key, value in (
        ("num_mel_bins", bins),
        ("embedding_length", inner),
        ("feed_forward_length", wide),
        ("block_count", layers),
        ("projection_dim", width),
        ("attention.head_count", 2),
    ):
        writer.add_uint32(f"clip.audio.{key}", value)
    writer.add_float32("clip.audio.attention.layer_norm_epsilon", 1e-5)

    def weight(name: str, *shape: int, scale: float = 1.0) -> None:
        values = random.standard_normal(shape, dtype=np.float32)
        scaled = values * np.float32(scale / np.sqrt(np.prod(shape[1:])))
        writer.add_tensor(f"{name}.weight", scaled)

    def bias(name: str, *shape: int) -> None:
        writer.add_tensor(f"{name}.bias", np.zeros(shape, np.float32))

    def norm(name: str) -> None:
        writer.add_tensor(f"{name}.weight", np.ones(inner, np.float32))
        bias(name, inner)

    for number, channels in ((1, bins), (2, inner)):
        weight(f"a.conv1d.{number}", inner, channels, 3)
        bias(f"a.conv1d.{number}", inner, 1)
    weight("a.position_embd", positions, inner)
    norm("a.post_ln")
    for number in range(layers):
        block = f"a.blk.{number}."
        for name, rows, columns in (
            ("attn_q", inner, inner),
            ("attn_k", inner, inner),
            ("attn_v", inner, inner),
            ("attn_out", inner, inner),
            ("ffn_up", wide, inner),
            ("ffn_down", inner, wide),
        ):
            weight(block + name, rows, columns)
            if name != "attn_k":  # as of Whisper
                bias(block + name, rows)
        norm(block + "ln1")
        norm(block + "ln2")
    weight("mm.a.fc", width, inner, scale=8.0)
    bias("mm.a.fc", width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
