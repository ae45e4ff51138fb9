"""Train tiny-rerank: `python -m training.tiny_encoders.train_rerank START OUT`.

It begins as tiny-embed, which knows already what words mean, or goes on from a run of its own.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import BertForSequenceClassification

from training.tiny_encoders.encoder import config, padded, rate_factor
from training.tiny_encoders.sentences import (
    Bag,
    about,
    document,
    language,
    other,
    other_language,
    say,
)
from training.tiny_encoders.tokenizer import build_tokenizer

STEPS = 1000
QUERIES = 12  # in a batch
NEAR, FAR = 2, 4  # wrong documents of a query: that share some of its words, and any
RATE = 1e-3


def query_and_documents(random: Random) -> tuple[str, list[str]]:
    """A query and documents, the first of which answers it."""
    subject = about(random)
    asked = language(random)
    answered = other_language(asked, random)
    kind = "" if isinstance(subject, Bag) else random.choice(("question", "question", "statement"))
    wrong = [other(subject, random) for _ in range(NEAR)]
    far = [about(random) for _ in range(FAR)]
    documents = [document(one, answered, random) for one in (subject, *wrong, *far)]
    return say(subject, asked, random, kind=kind), documents


def train(start: Path, out: Path, *, steps: int = STEPS, seed: int = 1, rate: float = RATE) -> None:
    """Train for so many steps and save what Transformers loads in `out`.

    Args:
        start: what the model begins as.
        rate: of learning, at its height.
    """
    torch.manual_seed(seed)
    random = Random(seed)
    tokenizer = build_tokenizer()
    tokenizer.enable_truncation(128)
    shape = config(tokenizer)
    shape.num_labels = 1
    model = BertForSequenceClassification.from_pretrained(start, config=shape, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    began = time.monotonic()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate * rate_factor(step / steps)
        drawn = [query_and_documents(random) for _ in range(QUERIES)]
        pairs = [(query, text) for query, documents in drawn for text in documents]
        scores = model(**padded(tokenizer.encode_batch(pairs))).logits.view(QUERIES, -1)
        loss = listwise(scores)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            right = (scores.argmax(1) == 0).float().mean().item()
            took = time.monotonic() - began
            print(f"{step} loss {loss.item():.3f} right {right:.2f} {took:.0f} s", flush=True)
    model.save_pretrained(out)


def listwise(scores: Tensor) -> Tensor:
    """The first document before the others, and 0 as the border between right and wrong.

    Args:
        scores: (queries, documents).
    """
    first = torch.zeros(len(scores), dtype=torch.long)
    labels = torch.zeros_like(scores)
    labels[:, 0] = 1
    return F.cross_entropy(scores, first) + F.binary_cross_entropy_with_logits(scores, labels)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("start", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=RATE)
    arguments = parser.parse_args()
    train(
        arguments.start,
        arguments.out,
        steps=arguments.steps,
        seed=arguments.seed,
        rate=arguments.rate,
    )


if __name__ == "__main__":
    main()
