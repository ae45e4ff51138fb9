"""What a training run leaves behind: its tokenizer and its weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from training.tiny_chat.model import ModelConfig, TinyChat

EXPORTED_PREFIX = "model."  # of every tensor that export.py writes


def save_run(model: TinyChat, tokenizer: Tokenizer, out: Path) -> None:
    """Write the run to the directory ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(out / "tokenizer.json"))
    torch.save(model.state_dict(), out / "model.pt")


def load_run(run: Path) -> tuple[Tokenizer, ModelConfig, dict[str, Tensor]]:
    """The tokenizer, the shape and the float32 weights of a training run or of exported files.

    Raises:
        FileNotFoundError: ``run`` holds neither ``model.pt`` nor ``model.safetensors``.
    """
    tokenizer = Tokenizer.from_file(str(run / "tokenizer.json"))
    exported = run / "model.safetensors"
    if exported.exists():
        halves = load_file(exported)
        weights = {name.removeprefix(EXPORTED_PREFIX): t.float() for name, t in halves.items()}
    else:
        weights = torch.load(run / "model.pt", weights_only=True)
    return tokenizer, ModelConfig(vocab_size=tokenizer.get_vocab_size()), weights


def load_average(runs: Sequence[Path]) -> tuple[Tokenizer, ModelConfig, dict[str, Tensor]]:
    """As `load_run`, with the mean of the weights of several stages of one training.

    The mean answers better than either stage: it keeps what both agree on.
    """
    tokenizer, config, mean = load_run(runs[0])
    for count, run in enumerate(runs[1:], start=2):
        _, _, weights = load_run(run)
        mean = {name: tensor + (weights[name] - tensor) / count for name, tensor in mean.items()}
    return tokenizer, config, mean
