"""Diffusion pipelines of a few kilobytes, untrained: what they draw is noise, by every rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    DiffusionPipeline,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

WIDTH = 32
SIDE = 16
"""Pixels of what they draw where nothing else is said."""


def tokenizer() -> CLIPTokenizer:
    """Letters are tokens."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    ids = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=ids, merges=[], model_max_length=24)


def _text_config(**more: Any) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=54,
        hidden_size=WIDTH,
        projection_dim=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=24,
        bos_token_id=52,
        eos_token_id=53,
        pad_token_id=53,
        **more,
    )


def _vae(channels: int = 4, **more: Any) -> AutoencoderKL:
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        latent_channels=channels,
        norm_num_groups=4,
        sample_size=SIDE,
        **more,
    )
    # A trained one is sure of what it sees; half of these say how sure.
    torch.nn.init.zeros_(vae.quant_conv.weight[channels:])
    torch.nn.init.constant_(vae.quant_conv.bias[channels:], -30.0)
    return vae


def _unet(**more: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        **{
            "sample_size": SIDE // 2,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "block_out_channels": (8, 16),
            "layers_per_block": 1,
            "cross_attention_dim": WIDTH,
            "attention_head_dim": 4,
            "norm_num_groups": 4,
            **more,
        }
    )


def stable_diffusion(folder: Path) -> Path:
    """What Stable Diffusion 1 is made of."""
    torch.manual_seed(0)
    return _saved(
        folder,
        StableDiffusionPipeline(
            vae=_vae(),
            text_encoder=CLIPTextModel(_text_config()),
            tokenizer=tokenizer(),
            unet=_unet(),
            scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ),
    )


def controlnet(folder: Path) -> Path:
    """A ControlNet for `stable_diffusion`."""
    torch.manual_seed(1)
    net = ControlNetModel.from_unet(_unet(), conditioning_embedding_out_channels=(4, 8))
    for parameter in net.parameters():  # it begins as one that does nothing
        torch.nn.init.normal_(parameter, std=0.2)
    net.save_pretrained(folder)
    return folder


def stable_diffusion_xl(folder: Path) -> Path:
    """What Stable Diffusion XL is made of."""
    torch.manual_seed(0)
    return _saved(
        folder,
        StableDiffusionXLPipeline(
            vae=_vae(),
            text_encoder=CLIPTextModel(_text_config(hidden_act="gelu")),
            text_encoder_2=CLIPTextModelWithProjection(_text_config(hidden_act="gelu")),
            tokenizer=tokenizer(),
            tokenizer_2=tokenizer(),
            unet=_unet(
                cross_attention_dim=2 * WIDTH,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                projection_class_embeddings_input_dim=6 * 8 + WIDTH,
                use_linear_projection=True,
            ),
            scheduler=EulerDiscreteScheduler(),
        ),
    )


def flux(folder: Path) -> Path:
    """What FLUX.1 is made of."""
    torch.manual_seed(0)
    words = T5TokenizerFast(
        vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
        + [(chr(code), -1.0) for code in range(ord("a"), ord("z") + 1)],
        extra_ids=0,
    )
    return _saved(
        folder,
        FluxPipeline(
            vae=_vae(1, shift_factor=0.0),
            text_encoder=CLIPTextModel(_text_config()),
            tokenizer=tokenizer(),
            text_encoder_2=T5EncoderModel(
                T5Config(
                    vocab_size=32, d_model=WIDTH, d_kv=8, d_ff=WIDTH, num_layers=1, num_heads=2
                )
            ),
            tokenizer_2=words,
            transformer=FluxTransformer2DModel(
                patch_size=1,
                in_channels=4,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=WIDTH,
                pooled_projection_dim=WIDTH,
                axes_dims_rope=[4, 4, 8],
            ),
            scheduler=FlowMatchEulerDiscreteScheduler(),
        ),
    )


def _saved(folder: Path, pipeline: DiffusionPipeline) -> Path:
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder
