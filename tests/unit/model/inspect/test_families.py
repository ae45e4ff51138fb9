"""What is found in directories of well-known families, whose configurations these are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.model_dirs import decoder_tensors, write_json, write_model
from xinfer.model.files import LocalFiles
from xinfer.model.inspect.files import inspect_files
from xinfer.model.memory import cache_bytes
from xinfer.types.model import ModelSpec
from xinfer.types.shape import ModelShape

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rope_scaling": {
        "factor": 8.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
}
QWEN2 = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "max_window_layers": 28,
    "sliding_window": 131072,
    "use_sliding_window": False,
}
QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "head_dim": 128,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "tie_word_embeddings": True,
}
QWEN3_MOE = {
    **QWEN3,
    "architectures": ["Qwen3MoeForCausalLM"],
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "tie_word_embeddings": False,
}
QWEN3_NEXT = {
    "architectures": ["Qwen3NextForCausalLM"],
    "model_type": "qwen3_next",
    "hidden_size": 2048,
    "intermediate_size": 5120,
    "moe_intermediate_size": 512,
    "num_hidden_layers": 48,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "head_dim": 256,
    "vocab_size": 151936,
    "max_position_embeddings": 262144,
    "full_attention_interval": 4,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "linear_value_head_dim": 128,
    "num_experts": 512,
    "num_experts_per_tok": 10,
}
DEEPSEEK = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "auto_map": {
        "AutoConfig": "configuration_deepseek.DeepseekV3Config",
        "AutoModelForCausalLM": "modeling_deepseek.DeepseekV3ForCausalLM",
    },
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "kv_lora_rank": 512,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "vocab_size": 129280,
    "max_position_embeddings": 163840,
    "rope_scaling": {"factor": 40, "original_max_position_embeddings": 4096, "type": "yarn"},
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [128, 128]},
}
GEMMA3 = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "model_type": "gemma3",
    "image_token_index": 262144,
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "vision_config": {"hidden_size": 1152, "num_hidden_layers": 27, "num_attention_heads": 16},
}
MIXTRAL = {
    **LLAMA,
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "max_position_embeddings": 32768,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "rope_scaling": None,
    "sliding_window": None,
    "vocab_size": 32000,
}
MISTRAL = {**MIXTRAL, "architectures": ["MistralForCausalLM"], "sliding_window": 4096}
PHI3 = {
    "architectures": ["Phi3ForCausalLM"],
    "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"},
    "model_type": "phi3",
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "vocab_size": 32064,
    "max_position_embeddings": 131072,
    "original_max_position_embeddings": 4096,
    "rope_scaling": {"long_factor": [1.0], "short_factor": [1.0], "type": "longrope"},
    "sliding_window": 262144,
}
GPT2 = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
}
GPT_OSS = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "head_dim": 64,
    "layer_types": ["sliding_attention", "full_attention"] * 12,
    "num_hidden_layers": 24,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "num_local_experts": 32,
    "num_experts_per_tok": 4,
    "sliding_window": 128,
    "vocab_size": 201088,
    "max_position_embeddings": 131072,
    "rope_scaling": {
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
        "rope_type": "yarn",
    },
    "quantization_config": {"quant_method": "mxfp4"},
}
LLAVA = {
    "architectures": ["LlavaForConditionalGeneration"],
    "model_type": "llava",
    "image_token_index": 32000,
    "text_config": {
        "architectures": ["LlamaForCausalLM"],
        "max_position_embeddings": 4096,
        "model_type": "llama",
        "vocab_size": 32064,
    },
    "vision_config": {
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "model_type": "clip_vision_model",
    },
}
QWEN2_VL = {
    **QWEN2,
    "architectures": ["Qwen2VLForConditionalGeneration"],
    "model_type": "qwen2_vl",
    "image_token_id": 151655,
    "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
    "vision_config": {"depth": 32, "embed_dim": 1280, "hidden_size": 3584},
}
FALCON = {
    "architectures": ["FalconForCausalLM"],
    "model_type": "falcon",
    "hidden_size": 4544,
    "num_attention_heads": 71,
    "num_hidden_layers": 32,
    "multi_query": True,
    "new_decoder_architecture": False,
    "vocab_size": 65024,
    "max_position_embeddings": 2048,
}
CHATGLM = {
    "architectures": ["ChatGLMModel"],
    "auto_map": {"AutoModelForCausalLM": "modeling_chatglm.ChatGLMForConditionalGeneration"},
    "model_type": "chatglm",
    "hidden_size": 4096,
    "ffn_hidden_size": 13696,
    "kv_channels": 128,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "num_attention_heads": 32,
    "num_layers": 40,
    "padded_vocab_size": 151552,
    "seq_length": 131072,
}
MAMBA2 = {
    "architectures": ["Mamba2ForCausalLM"],
    "model_type": "mamba2",
    "conv_kernel": 4,
    "expand": 2,
    "head_dim": 64,
    "hidden_size": 2560,
    "n_groups": 1,
    "num_heads": 80,
    "num_hidden_layers": 64,
    "state_size": 128,
    "time_step_limit": [0.0, float("inf")],
    "vocab_size": 50288,
}
JAMBA = {
    "architectures": ["JambaForCausalLM"],
    "model_type": "jamba",
    "attn_layer_offset": 4,
    "attn_layer_period": 8,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "mamba_d_conv": 4,
    "mamba_d_state": 16,
    "mamba_expand": 2,
    "max_position_embeddings": 262144,
    "num_attention_heads": 32,
    "num_experts": 16,
    "num_experts_per_tok": 2,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "vocab_size": 65536,
}


def inspect(directory: Path, name: str = "some-model") -> ModelSpec:
    (model,) = inspect_files(LocalFiles(directory), name=name)
    return model


def shape_of(directory: Path, config: dict[str, Any]) -> ModelShape:
    shape = inspect(write_model(directory, config)).shape
    assert shape is not None
    return shape


@pytest.mark.parametrize(
    ("config", "elements", "context"),
    [
        (LLAMA, 32 * 2 * 8 * 128, 131072),
        (QWEN2, 28 * 2 * 4 * 128, 32768),
        (QWEN3, 28 * 2 * 8 * 128, 40960),
        (QWEN3_MOE, 48 * 2 * 4 * 128, 40960),
        (QWEN3_NEXT, 12 * 2 * 2 * 256, 262144),
        (DEEPSEEK, 61 * (512 + 64), 163840),
        (GEMMA3, 34 * 2 * 4 * 256, 131072),
        (MIXTRAL, 32 * 2 * 8 * 128, 32768),
        (PHI3, 32 * 2 * 32 * 96, 131072),
        (GPT2, 12 * 2 * 768, 1024),
        (GPT_OSS, 24 * 2 * 8 * 64, 131072),
        (LLAVA, 32 * 2 * 32 * 128, 4096),
        (QWEN2_VL, 28 * 2 * 4 * 128, 32768),
        (FALCON, 32 * 2 * 64, 2048),
        (CHATGLM, 40 * 2 * 2 * 128, 131072),
        (MAMBA2, 0, 0),
        (JAMBA, 4 * 2 * 8 * 128, 262144),
    ],
    ids=lambda value: value["model_type"] if isinstance(value, dict) else None,
)
def test_elements_that_each_token_keeps_and_the_context(
    tmp_path: Path, config: dict[str, Any], elements: int, context: int
) -> None:
    model = inspect(write_model(tmp_path, config))
    assert model.type == "LLM"
    assert model.context_length == context
    assert model.architecture == config["architectures"][0]
    assert model.shape is not None
    one, two = (sum(cache_bytes(model.shape, tokens)) for tokens in (1, 2))
    assert two - one == 2 * elements


def test_windows_bound_what_a_long_text_keeps(tmp_path: Path) -> None:
    gemma = shape_of(tmp_path / "gemma", GEMMA3)
    assert (gemma.sliding_window, gemma.sliding_layers) == (1024, 29)
    token = 2 * 2 * 4 * 256
    assert sum(cache_bytes(gemma, 100_000)) == token * (5 * 100_000 + 29 * 1024)
    assert sum(cache_bytes(gemma, 100_000, ahead=None)) == token * 34 * 100_000
    oss = shape_of(tmp_path / "oss", GPT_OSS)
    assert (oss.sliding_window, oss.sliding_layers) == (128, 12)
    mistral = shape_of(tmp_path / "mistral", MISTRAL)
    assert (mistral.sliding_window, mistral.sliding_layers) == (4096, 32)
    assert shape_of(tmp_path / "qwen", QWEN2).sliding_layers == 0
    off = {**QWEN2, "max_window_layers": 0}
    assert shape_of(tmp_path / "off", off).sliding_layers == 0
    slides = {**QWEN2, "use_sliding_window": True, "max_window_layers": 20}
    assert shape_of(tmp_path / "slides", slides).sliding_layers == 8


def test_layers_that_share_the_cache_of_others_keep_nothing(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, {**QWEN3, "num_kv_shared_layers": 10})
    assert [size > 0 for size in cache_bytes(shape, 1)] == [True] * 18 + [False] * 10


def test_states_are_kept_for_each_sequence_whatever_its_length(tmp_path: Path) -> None:
    mamba = shape_of(tmp_path / "mamba", MAMBA2)
    assert mamba.state_layers == 64
    state = 4 * 64 * (4 * (5120 + 2 * 128) + 5120 * 128)
    assert sum(cache_bytes(mamba, 5)) == sum(cache_bytes(mamba, 50_000)) == state
    assert sum(cache_bytes(mamba, 5, sequences=3)) == 3 * state
    assert shape_of(tmp_path / "jamba", JAMBA).state_layers == 28
    assert shape_of(tmp_path / "next", QWEN3_NEXT).state_layers == 36


def test_experts_and_the_latent_of_keys_and_values(tmp_path: Path) -> None:
    shape = shape_of(tmp_path / "moe", QWEN3_MOE)
    assert (shape.experts, shape.active_experts, shape.intermediate) == (128, 8, 768)
    deepseek = shape_of(tmp_path / "deepseek", DEEPSEEK)
    assert (deepseek.experts, deepseek.active_experts, deepseek.latent) == (256, 8, 512)
    assert shape_of(tmp_path / "mixtral", MIXTRAL).experts == 8


def test_sizes_of_a_plain_model(tmp_path: Path) -> None:
    shape = shape_of(tmp_path, QWEN3)
    assert (shape.layers, shape.hidden, shape.intermediate) == (28, 1024, 3072)
    assert (shape.heads, shape.kv_heads, shape.head_dim) == (16, 8, 128)
    assert (shape.vocab, shape.tied_embeddings) == (151936, True)


def test_the_number_of_weights_is_by_the_headers(tmp_path: Path) -> None:
    tensors = decoder_tensors(28, 3584, key=512, vocab=152064, inner=18944)
    model = inspect(write_model(tmp_path, QWEN2, tensors))
    assert model.size_in_billions == pytest.approx(7.6, rel=0.01)
    assert model.size_bytes == (tmp_path / "model.safetensors").stat().st_size


def test_sizes_are_by_the_tensors_where_the_configuration_is_silent(tmp_path: Path) -> None:
    tensors = decoder_tensors(6, 512, key=256, vocab=1000, inner=900)
    config = {"architectures": ["StrangeForCausalLM"], "model_type": "strange"}
    shape = inspect(write_model(tmp_path, config, tensors)).shape
    assert shape is not None
    assert (shape.layers, shape.hidden, shape.vocab) == (6, 512, 1000)
    assert sum(cache_bytes(shape, 10)) == 10 * 6 * 2 * 2 * 256


def test_parts_for_pictures_are_told_apart(tmp_path: Path) -> None:
    tensors = decoder_tensors(
        2, 64, key=64, vocab=100, inner=64, prefix="language_model.model."
    ) | {
        "vision_tower.encoder.layers.7.weight": ("BF16", [100, 10]),
        "multi_modal_projector.linear.weight": ("BF16", [50, 10]),
    }
    model = inspect(write_model(tmp_path, GEMMA3, tensors))
    assert model.shape is not None
    assert model.shape.vision_bytes == 2 * 1500
    assert "vision" in model.abilities


def test_what_the_template_and_the_processor_tell_of_abilities(tmp_path: Path) -> None:
    template = "{% if tools %}…{% endif %}{{ '<think>' if enable_thinking }}"
    chat = write_model(tmp_path / "chat", QWEN3, tokenizer_config={"chat_template": template})
    assert inspect(chat).abilities == ("generate", "chat", "tools", "reasoning", "hybrid")
    base = write_model(tmp_path / "base", QWEN3)
    assert inspect(base).abilities == ("generate",)
    seeing = write_model(tmp_path / "seeing", QWEN2_VL, chat_template={"chat_template": "{{x}}"})
    assert inspect(seeing).abilities == ("generate", "chat", "vision")
    hearing = {**QWEN2, "audio_config": {"d_model": 1280}}
    assert inspect(write_model(tmp_path / "hears", hearing)).abilities == ("generate", "audio")
    thinker = {"text_config": QWEN2, "vision_config": {"depth": 2}, "audio_config": {"d_model": 2}}
    omni = {
        "architectures": ["Qwen2_5OmniForConditionalGeneration"],
        "model_type": "qwen2_5_omni",
        "thinker_config": thinker,
    }
    model = inspect(write_model(tmp_path / "omni", omni))
    assert model.abilities == ("generate", "vision", "audio", "omni")
    assert model.context_length == 32768


def test_program_code_is_named(tmp_path: Path) -> None:
    assert inspect(write_model(tmp_path / "a", DEEPSEEK)).remote_code == (
        "configuration_deepseek.py",
        "modeling_deepseek.py",
    )
    elsewhere = {**PHI3, "auto_map": {"AutoModel": "org/code--modeling_x.Model"}}
    assert inspect(write_model(tmp_path / "b", elsewhere)).remote_code == (
        "org/code--modeling_x.py",
    )
    assert inspect(write_model(tmp_path / "c", LLAMA)).remote_code == ()
    steps = [{"type": "sentence_transformers.models.Transformer"}, {"type": "own.step.Pool"}]
    bert = {"architectures": ["BertModel"], "model_type": "bert"}
    assert inspect(write_model(tmp_path / "d", bert, modules=steps)).remote_code == ("own.step.py",)


def test_languages_are_those_of_the_card(tmp_path: Path) -> None:
    write_model(tmp_path, LLAMA)
    assert inspect(tmp_path).languages == ("en",)
    (tmp_path / "README.md").write_text("---\nlanguage:\n- de\n- no\ntags: [a]\n---\n# Words\n")
    assert inspect(tmp_path).languages == ("de", "no")


def test_whisper_hears(tmp_path: Path) -> None:
    config = {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "d_model": 384,
        "decoder_layers": 4,
        "decoder_attention_heads": 6,
        "max_source_positions": 1500,
        "max_target_positions": 448,
        "vocab_size": 51865,
    }
    model = inspect(write_model(tmp_path, config))
    assert (model.type, model.abilities) == ("audio", ("audio2text",))
    assert model.context_length == 448


@pytest.mark.parametrize(
    ("head", "abilities"),
    [
        ("Wav2Vec2ForCTC", ("audio2text",)),
        ("VitsModel", ("text2audio",)),
        ("SpeechT5ForTextToSpeech", ("text2audio",)),
        ("MusicgenForConditionalGeneration", ("text2music",)),
    ],
)
def test_models_that_hear_and_speak(tmp_path: Path, head: str, abilities: tuple[str, ...]) -> None:
    model = inspect(write_model(tmp_path, {"architectures": [head]}))
    assert (model.type, model.abilities) == ("audio", abilities)


def test_a_whisper_model_of_ctranslate2(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(bytes(100))
    write_json(tmp_path / "config.json", {"suppress_ids": [1]})
    write_json(tmp_path / "vocabulary.json", ["a"])
    model = inspect(tmp_path)
    assert (model.type, model.format, model.size_bytes) == ("audio", "ctranslate2", 100)
    assert set(model.files) == {"model.bin", "config.json", "vocabulary.json"}


def test_mistrals_own_layout(tmp_path: Path) -> None:
    params = {"dim": 4096, "n_layers": 40, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32}
    write_model(tmp_path, None, params={**params, "n_kv_heads": 8, "vocab_size": 131072})
    (tmp_path / "model.safetensors").rename(tmp_path / "consolidated.safetensors")
    model = inspect(tmp_path)
    assert (model.format, model.architecture) == ("mistral", "MistralForCausalLM")
    assert model.shape is not None
    assert sum(cache_bytes(model.shape, 1)) == 40 * 2 * 2 * 8 * 128
    assert model.shape.intermediate == 14336
