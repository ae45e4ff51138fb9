"""Directories of tiny models that see, with random numbers in them, in Transformers' format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.gguf_models import random_llama
from tests.support.model_dirs import write_json
from tools.hf_llama import write_tokenizer

TEMPLATE = """\
{% for message in messages %}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}\
{% if part.type == 'image' %}SIGN{% else %}{{ part.text }}{% endif %}\
{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

_TOWER = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
_QWEN_TOWER = {"num_heads": 2, "patch_size": 8, "spatial_merge_size": 2, "temporal_patch_size": 2}
_DIRECTIONS = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0}

Ids = Mapping[str, int]


def _llava(text: dict[str, Any], ids: Ids) -> tuple[Any, Any, dict[str, Any]]:
    import transformers

    config = transformers.LlavaConfig(
        text_config={**text, "model_type": "llama"},
        vision_config={**_TOWER, "model_type": "clip_vision_model", "projection_dim": 32},
        image_token_index=ids["<image>"],
        vision_feature_select_strategy="default",
        vision_feature_layer=-1,
    )
    pictures = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=32)
    options = {"patch_size": 8, "num_additional_image_tokens": 1}
    return config, pictures, {**options, "vision_feature_select_strategy": "default"}


def _qwen2_vl(text: dict[str, Any], ids: Ids) -> tuple[Any, Any, dict[str, Any]]:
    import transformers

    config = transformers.Qwen2VLConfig(
        text_config={**text, "rope_parameters": _DIRECTIONS},
        vision_config={
            **_QWEN_TOWER,
            **{"depth": 2, "embed_dim": 32, "hidden_size": text["hidden_size"], "mlp_ratio": 2},
        },
        **_qwen_ids(ids),
    )
    return config, _qwen_pictures(), {}


def _qwen3_vl(text: dict[str, Any], ids: Ids) -> tuple[Any, Any, dict[str, Any]]:
    import transformers

    config = transformers.Qwen3VLConfig(
        text_config={**text, "rope_parameters": {**_DIRECTIONS, "mrope_interleaved": True}},
        vision_config={
            **_QWEN_TOWER,
            **{"depth": 3, "hidden_size": 32, "out_hidden_size": text["hidden_size"]},
            **{"intermediate_size": 48, "num_position_embeddings": 64},
            "deepstack_visual_indexes": [0, 1],
        },
        **_qwen_ids(ids),
    )
    return config, _qwen_pictures(), {}


def _qwen_ids(ids: Ids) -> dict[str, int]:
    return {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
    }


def _qwen_pictures() -> Any:
    import transformers

    return transformers.Qwen2VLImageProcessorPil(
        patch_size=8, merge_size=2, temporal_patch_size=2, min_pixels=1024, max_pixels=8192
    )


def _gemma3(text: dict[str, Any], ids: Ids) -> tuple[Any, Any, dict[str, Any]]:
    import transformers

    layers = ["sliding_attention", "full_attention"]
    config = transformers.Gemma3Config(
        text_config={
            **text,
            **{"sliding_window": 8, "layer_types": layers, "query_pre_attn_scalar": 16},
        },
        vision_config=_TOWER,
        mm_tokens_per_image=4,
        image_token_id=ids["<image_soft_token>"],
        boi_token_index=ids["<start_of_image>"],
        eoi_token_index=ids["<end_of_image>"],
    )
    pictures = transformers.Gemma3ImageProcessorPil(size={"height": 32, "width": 32})
    return config, pictures, {"image_seq_length": 4}


def _idefics3(text: dict[str, Any], ids: Ids) -> tuple[Any, Any, dict[str, Any]]:
    import transformers

    config = transformers.Idefics3Config(
        text_config={**text, "model_type": "llama"},
        vision_config=_TOWER,
        image_token_id=ids["<image>"],
        scale_factor=2,
        pad_token_id=0,
    )
    pictures = transformers.Idefics3ImageProcessorPil(
        size={"longest_edge": 64}, max_image_size={"longest_edge": 32}
    )
    return config, pictures, {"image_seq_len": 4}


Make = Callable[[dict[str, Any], Ids], tuple[Any, Any, dict[str, Any]]]
_QWEN_TOKENS = ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
_QWEN_SIGN = "<|vision_start|><|image_pad|><|vision_end|>"
FAMILIES: dict[str, tuple[Make, tuple[str, ...], str]] = {
    "llava": (_llava, ("<image>",), "<image>"),
    "qwen2_vl": (_qwen2_vl, _QWEN_TOKENS, _QWEN_SIGN),
    "qwen3_vl": (_qwen3_vl, _QWEN_TOKENS, _QWEN_SIGN),
    "gemma3": (
        _gemma3,
        ("<start_of_image>", "<image_soft_token>", "<end_of_image>"),
        "<start_of_image>",
    ),
    "idefics3": (
        _idefics3,
        (
            *("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"),
            *(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)),
        ),
        "<image>",
    ),
}
"""By the name of a family: its configuration and its processor of pictures, the tokens that it has
beside those of text, and what its chat template writes for a picture.

One that puts embeddings in place of tokens; two that count positions in three directions, of which
the second also adds to later layers; one whose pictures look at themselves both ways, in layers
with windows; one that cuts pictures in pieces, with text between them.
"""


def seeing_model(family: str, directory: Path, vocabulary: Path | None = None) -> Path:
    """The directory of a model of this family.

    Args:
        vocabulary: a GGUF model with the tokens of text; made when it is not given.
    """
    import torch
    from transformers import AutoModelForImageTextToText, AutoTokenizer
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

    make, tokens, sign = FAMILIES[family]
    directory.mkdir(parents=True)
    write_tokenizer(vocabulary or random_llama(directory.with_suffix(".gguf")), directory)
    named = dict(zip(("boi_token", "image_token", "eoi_token"), tokens, strict=False))
    named = named if family == "gemma3" else {}
    tokenizer = AutoTokenizer.from_pretrained(directory, extra_special_tokens=named)
    tokenizer.add_special_tokens({"additional_special_tokens": list(tokens)})
    tokenizer.chat_template = TEMPLATE.replace("SIGN", sign)
    tokenizer.save_pretrained(directory)
    text = {
        **{"vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 96},
        **{"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2},
        **{"head_dim": 16, "max_position_embeddings": 1024},
        **{"eos_token_id": tokenizer.eos_token_id, "bos_token_id": None, "pad_token_id": None},
    }
    config, pictures, options = make(
        text, {token: tokenizer.convert_tokens_to_ids(token) for token in tokens}
    )
    torch.manual_seed(3)
    model = AutoModelForImageTextToText.from_config(config)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            if not parameter.data.any():
                parameter.data.normal_(std=0.1)
            parameter.data.mul_(4)  # so that its scores lie apart
    model.save_pretrained(directory)
    pictures.save_pretrained(directory)
    name = PROCESSOR_MAPPING[type(config)].__name__
    write_json(directory / "processor_config.json", {"processor_class": name, **options})
    return directory
