"""Directories of tiny models of many families, with random numbers in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_models import STOP, byte_level, random_llama
from tools.hf_llama import write_tokenizer

WORDS = len(byte_level().tokens)
STOP_ID = byte_level().tokens.index(STOP)
SIZES = {
    "vocab_size": WORDS,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
WINDOW = {**GROUPED, "head_dim": 16, "sliding_window": 8}
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
LATENT = {
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 16,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 32,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
}

PACKED: dict[str, dict[str, Any]] = {
    "llama": GROUPED,
    "gpt2": {"vocab_size": WORDS, "n_embd": 64, "n_layer": 2, "n_head": 4},
    "gpt_neox": SIZES,
    "qwen3": {**GROUPED, "head_dim": 16},
    "mistral": WINDOW,
    "gemma2": WINDOW,
    "gpt_oss": {**WINDOW, **EXPERTS},
    "mixtral": {**GROUPED, **EXPERTS},
}
"""Families that are computed packed: learned and rotary positions, windows, bounded scores, sinks,
experts."""
ROWS: dict[str, dict[str, Any]] = {
    "mamba": {"vocab_size": WORDS, "hidden_size": 64, "num_hidden_layers": 2},
    "bloom": {"vocab_size": WORDS, "hidden_size": 64, "n_layer": 2, "n_head": 4},
    "deepseek_v3": {**SIZES, **LATENT, "num_key_value_heads": 4},
}
"""Families that are computed row by row: a state, positions in the scores, latent attention."""

MakeModel = Callable[[str], Path]


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """A model's directory, by the name of its family."""
    import torch
    import transformers

    home = tmp_path_factory.mktemp("families")
    vocabulary = random_llama(home / "vocabulary.gguf")

    def make(family: str) -> Path:
        target = home / family
        if not target.exists():
            torch.manual_seed(3)
            ends = {"eos_token_id": STOP_ID, "bos_token_id": None, "pad_token_id": None}
            config = transformers.AutoConfig.for_model(family, **(PACKED | ROWS)[family], **ends)
            model = transformers.AutoModelForCausalLM.from_config(config)
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.data.mul_(4)  # so that its scores lie apart
            model.save_pretrained(target)
            write_tokenizer(vocabulary, target)
        return target

    return make
