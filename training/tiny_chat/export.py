"""Turn a training run into the files that ship: ``python -m training.tiny_chat.export RUN OUT``.

``OUT`` receives the Hugging Face files (safetensors in F16) and the same weights as GGUF.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gguf
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from training.tiny_chat.checkpoint import EXPORTED_PREFIX, load_average
from training.tiny_chat.model import ModelConfig
from training.tiny_chat.template import TEMPLATE_FILE
from training.tiny_chat.tokenizer import (
    CONTROL_TOKENS,
    END_OF_TEXT,
    MESSAGE_END,
    USER_TOKENS,
)

GGUF_NAME = "tiny-chat-f16.gguf"
NEARLY_GREEDY = 0.01  # where the caller sets no temperature; Transformers takes no 0 here
GGUF_LAYER_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def export_hugging_face(
    tokenizer: Tokenizer, config: ModelConfig, weights: dict[str, Tensor], out: Path
) -> None:
    """Write safetensors, configuration and tokenizer files."""
    tensors = {
        EXPORTED_PREFIX + name: tensor.half().contiguous() for name, tensor in weights.items()
    }
    safetensors = out / "model.safetensors"
    save_file(tensors, safetensors, metadata={"format": "pt"})
    safetensors.chmod(0o644)  # save_file leaves it readable by its owner alone
    ids = tokenizer.get_vocab()
    end, padding = ids[MESSAGE_END], ids[END_OF_TEXT]
    _write_json(
        out / "config.json",
        {
            "architectures": ["Qwen2ForCausalLM"],
            "model_type": "qwen2",
            "torch_dtype": "float16",
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "initializer_range": 0.02,
            "bos_token_id": None,
            "eos_token_id": end,
            "pad_token_id": padding,
        }
        | asdict(config),
    )
    _write_json(
        out / "generation_config.json",
        {
            "do_sample": True,
            "temperature": NEARLY_GREEDY,
            "eos_token_id": [end, padding],
            "pad_token_id": padding,
        },
    )
    tokenizer.save(str(out / "tokenizer.json"))
    _write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": config.max_position_embeddings,
            "bos_token": None,
            "eos_token": MESSAGE_END,
            "pad_token": END_OF_TEXT,
            "clean_up_tokenization_spaces": False,
            "added_tokens_decoder": {
                str(ids[text]): {
                    "content": text,
                    "special": text in CONTROL_TOKENS,
                    "normalized": False,
                    "lstrip": False,
                    "rstrip": False,
                    "single_word": False,
                }
                for text in CONTROL_TOKENS + USER_TOKENS
            },
            "chat_template": TEMPLATE_FILE.read_text(encoding="utf-8"),
        },
    )


def export_gguf(
    tokenizer: Tokenizer, config: ModelConfig, weights: dict[str, Tensor], path: Path
) -> None:
    """Write the GGUF file: matrices in F16, norms and biases in F32."""
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_name("tiny-chat")
    writer.add_license("apache-2.0")
    writer.add_languages(["en", "zh"])
    writer.add_size_label(f"{sum(tensor.numel() for tensor in weights.values()) / 1e6:.1f}M")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_sampling_temp(0.0)
    _add_tokenizer(writer, tokenizer)
    for name, tensor in weights.items():
        kept = tensor.float() if tensor.ndim == 1 else tensor.half()
        writer.add_tensor(_gguf_name(name), kept.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=ids.__getitem__)
    kinds = dict.fromkeys(CONTROL_TOKENS, gguf.TokenType.CONTROL)
    kinds |= dict.fromkeys(USER_TOKENS, gguf.TokenType.USER_DEFINED)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([kinds.get(token, gguf.TokenType.NORMAL) for token in tokens])
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    writer.add_token_merges([" ".join(pair) for pair in merges])
    writer.add_eos_token_id(ids[MESSAGE_END])
    writer.add_pad_token_id(ids[END_OF_TEXT])
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE_FILE.read_text(encoding="utf-8"))


def _gguf_name(name: str) -> str:
    if name == "embed_tokens.weight":
        return "token_embd.weight"
    if name == "norm.weight":
        return "output_norm.weight"
    _, layer, part = name.split(".", 2)
    part, _, kind = part.rpartition(".")
    return f"blk.{layer}.{GGUF_LAYER_NAMES[part]}.{kind}"


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", help="what train.py wrote; averaged")
    parser.add_argument("out", type=Path, help="directory of the files that ship")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    tokenizer, config, weights = load_average(arguments.runs)
    export_hugging_face(tokenizer, config, weights, arguments.out)
    export_gguf(tokenizer, config, weights, arguments.out / GGUF_NAME)


if __name__ == "__main__":
    main()
