"""Train tiny-embed: `python -m training.tiny_encoders.train_embed OUT`.

Paraphrases are drawn together, and everything else in the batch apart.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import BertModel

from training.tiny_encoders.encoder import config, mean_pooled, padded, rate_factor
from training.tiny_encoders.sentences import about, document, language, other, other_language, say
from training.tiny_encoders.tokenizer import build_tokenizer

STEPS = 1000
PAIRS = 64  # in a batch, each with one text that is near and wrong
RATE = 2e-3
TEMPERATURE = 0.06


def triple(random: Random) -> tuple[str, str, str]:
    """A text, a paraphrase, and another text that shares some of its words."""
    subject = about(random)
    first = language(random)
    second = other_language(first, random)
    wrong = other(subject, random)
    make = document if random.random() < 0.3 else say
    return (
        say(subject, first, random),
        make(subject, second, random),
        make(wrong, second, random),
    )


def train(out: Path, *, steps: int = STEPS, seed: int = 1) -> None:
    """Train for so many steps and save what Transformers loads in `out`."""
    torch.manual_seed(seed)
    random = Random(seed)
    tokenizer = build_tokenizer()
    tokenizer.enable_truncation(128)
    model = BertModel(config(tokenizer), add_pooling_layer=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    start = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * rate_factor(step / steps)
        triples = [triple(random) for _ in range(PAIRS)]
        texts = [one[part] for part in range(3) for one in triples]
        batch = padded(tokenizer.encode_batch(texts))
        vectors = mean_pooled(model(**batch).last_hidden_state, batch["attention_mask"])
        loss = contrast(vectors)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"{step} loss {loss.item():.3f} {time.monotonic() - start:.0f} s", flush=True)
    model.save_pretrained(out)


def contrast(vectors: Tensor) -> Tensor:
    """InfoNCE in both directions.

    Args:
        vectors: texts, their paraphrases, their wrong ones, one after the other.
    """
    texts, paraphrases, wrong = vectors.chunk(3)
    right = torch.arange(len(texts))
    forward = texts @ torch.cat((paraphrases, wrong)).T / TEMPERATURE
    backward = paraphrases @ torch.cat((texts, wrong)).T / TEMPERATURE
    return (F.cross_entropy(forward, right) + F.cross_entropy(backward, right)) / 2


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    train(arguments.out, steps=arguments.steps)


if __name__ == "__main__":
    main()
