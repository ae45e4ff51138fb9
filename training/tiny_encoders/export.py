"""Turn what was trained into the files that ship.

    python -m training.tiny_encoders.export embed RUN OUT
    python -m training.tiny_encoders.export rerank RUN OUT

`OUT` receives what sentence-transformers loads (safetensors in F16) and the same weights as GGUF.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import Tensor

from training.tiny_encoders.encoder import CONTEXT
from training.tiny_encoders.tokenizer import (
    CLS,
    MASK,
    PAD,
    PREFIX,
    SEP,
    SPECIAL,
    UNKNOWN,
    build_tokenizer,
)

WEIGHTS = "model.safetensors"
GGUF_NAMES = {
    r"embeddings\.word_embeddings\.": "token_embd.",
    r"embeddings\.position_embeddings\.": "position_embd.",
    r"embeddings\.token_type_embeddings\.": "token_types.",
    r"embeddings\.LayerNorm\.": "token_embd_norm.",
    r"encoder\.layer\.(\d+)\.attention\.self\.query\.": r"blk.\1.attn_q.",
    r"encoder\.layer\.(\d+)\.attention\.self\.key\.": r"blk.\1.attn_k.",
    r"encoder\.layer\.(\d+)\.attention\.self\.value\.": r"blk.\1.attn_v.",
    r"encoder\.layer\.(\d+)\.attention\.output\.dense\.": r"blk.\1.attn_output.",
    r"encoder\.layer\.(\d+)\.attention\.output\.LayerNorm\.": r"blk.\1.attn_output_norm.",
    r"encoder\.layer\.(\d+)\.intermediate\.dense\.": r"blk.\1.ffn_up.",
    r"encoder\.layer\.(\d+)\.output\.dense\.": r"blk.\1.ffn_down.",
    r"encoder\.layer\.(\d+)\.output\.LayerNorm\.": r"blk.\1.layer_output_norm.",
    r"pooler\.dense\.": "cls.",
    r"classifier\.": "cls.output.",
}
KEPT_EXACT = ("position_embd.", "token_types.")
"""Matrices that llama.cpp adds to others, which it does in F32."""


def export(kind: str, run: Path, out: Path) -> None:
    """Write all files of one model.

    Args:
        kind: embed or rerank.
        run: what `save_pretrained` wrote.
    """
    out.mkdir(parents=True, exist_ok=True)
    weights = load_file(run / WEIGHTS)
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    tokenizer = build_tokenizer()
    export_hugging_face(kind, tokenizer, config, weights, out)
    export_gguf(kind, tokenizer, config, weights, out / f"tiny-{kind}-f16.gguf")


def export_hugging_face(
    kind: str, tokenizer: Tokenizer, config: dict[str, Any], weights: dict[str, Tensor], out: Path
) -> None:
    """Write safetensors, configuration, tokenizer, and how sentence-transformers uses them."""
    halves = {name: tensor.half().contiguous() for name, tensor in weights.items()}
    if kind == "embed":
        # Nobody looks at it, but Transformers reports it where it is missing.
        width = config["hidden_size"]
        halves["pooler.dense.weight"] = torch.zeros(width, width, dtype=torch.float16)
        halves["pooler.dense.bias"] = torch.zeros(width, dtype=torch.float16)
    save_file(halves, out / WEIGHTS, metadata={"format": "pt"})
    (out / WEIGHTS).chmod(0o644)  # save_file leaves it readable by its owner alone
    _write_json(out / "config.json", config | {"dtype": "float16"})
    tokenizer.save(str(out / "tokenizer.json"))
    _write_json(
        out / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONTEXT,
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
            "pad_token": PAD,
            "unk_token": UNKNOWN,
            "cls_token": CLS,
            "sep_token": SEP,
            "mask_token": MASK,
        },
    )
    if kind == "embed":
        package = "sentence_transformers.models"
        modules = (("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize"))
        _write_json(
            out / "modules.json",
            [
                {"idx": number, "name": str(number), "path": path, "type": f"{package}.{name}"}
                for number, (name, path) in enumerate(modules)
            ],
        )
        _write_json(out / "sentence_bert_config.json", {"max_seq_length": CONTEXT})
        (out / "1_Pooling").mkdir(exist_ok=True)
        _write_json(
            out / "1_Pooling/config.json",
            {
                "word_embedding_dimension": config["hidden_size"],
                "pooling_mode_mean_tokens": True,
            },
        )


def export_gguf(
    kind: str, tokenizer: Tokenizer, config: dict[str, Any], weights: dict[str, Tensor], path: Path
) -> None:
    """Write the GGUF file: matrices in F16, norms and biases in F32."""
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_type("model")
    writer.add_name(f"tiny-{kind}")
    writer.add_license("apache-2.0")
    writer.add_languages(["en", "zh"])
    writer.add_size_label(f"{sum(tensor.numel() for tensor in weights.values()) / 1e6:.1f}M")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    embed = kind == "embed"
    writer.add_pooling_type(gguf.PoolingType.MEAN if embed else gguf.PoolingType.RANK)
    if not embed:
        writer.add_classifier_output_labels(["relevance"])
    _add_tokenizer(writer, tokenizer, token_types=config["type_vocab_size"])
    for name, tensor in weights.items():
        renamed = gguf_name(name)
        exact = tensor.ndim == 1 or renamed.startswith(KEPT_EXACT)
        # Through F16 in any case: both forms hold the same numbers.
        half = tensor.half()
        writer.add_tensor(renamed, (half.float() if exact else half).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def gguf_name(name: str) -> str:
    """llama.cpp's name of a tensor.

    Raises:
        ValueError: it has none.
    """
    name = name.removeprefix("bert.")
    for pattern, renamed in GGUF_NAMES.items():
        if re.match(pattern, name):
            return re.sub(pattern, renamed, name)
    raise ValueError(f"There is no name in GGUF for the tensor {name}.")


def _add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer, *, token_types: int) -> None:
    ids = tokenizer.get_vocab()
    tokens = sorted(ids, key=ids.__getitem__)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([_gguf_token(token) for token in tokens])
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if token in SPECIAL else normal for token in tokens])
    writer.add_token_type_count(token_types)
    writer.add_bos_token_id(ids[CLS])
    writer.add_eos_token_id(ids[SEP])
    writer.add_sep_token_id(ids[SEP])
    writer.add_unk_token_id(ids[UNKNOWN])
    writer.add_pad_token_id(ids[PAD])
    writer.add_mask_token_id(ids[MASK])
    # A pair is [CLS] one [SEP] other [SEP].
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(True)
    writer.add_add_sep_token(False)


def _gguf_token(token: str) -> str:
    """GGUF marks tokens that begin a word, instead of those that go on with one."""
    if token in SPECIAL:
        return token
    return token.removeprefix(PREFIX) if token.startswith(PREFIX) else f"\u2581{token}"


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=("embed", "rerank"))
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    export(arguments.kind, arguments.run, arguments.out)


if __name__ == "__main__":
    main()
