"""Train tiny-chat: ``torchrun --nproc-per-node 2 -m training.tiny_chat.train --steps N --out DIR``.

The result is ``DIR/tokenizer.json`` and ``DIR/model.pt``, which ``export.py`` turns into the files
that ship. One process for each core, each on one thread: threads that wait for one another lose
most of their time on a machine that does anything else. With ``--steps``, the same seed, processes
and machine give the same model.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from training.tiny_chat.checkpoint import load_run, save_run
from training.tiny_chat.copying import prepare_copying
from training.tiny_chat.data import Batch, batches
from training.tiny_chat.model import ModelConfig, TinyChat
from training.tiny_chat.samples import tokenizer_texts
from training.tiny_chat.tokenizer import train_tokenizer

VOCAB_SIZE = 2816
SPACED_WORDS = 320
TOKENIZER_SAMPLES = 20_000
BATCH_TOKENS = 6144  # of all processes together
MUON_RATE = 0.015
ADAM_RATE = 0.003
TALK_FIRST = 0.25  # share of the run before tools, whose long prompts slow the rest down
TOOL_SHARE = 0.35  # of the conversations after that
WARMUP = 0.03  # share of the run
SAVE_EVERY = 100  # steps


def rate_factor(progress: float) -> float:
    """Share of the full learning rate at ``progress`` (0 to 1): linear warm-up, then cosine."""
    if progress < WARMUP:
        return (progress + 1e-3) / (WARMUP + 1e-3)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARMUP) / (1 - WARMUP)))


def optimizers(model: TinyChat) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for the embedding, norms and biases.

    With AdamW alone the model takes some three times as long to heed the question.
    """
    matrices = [p for p in model.layers.parameters() if p.ndim == 2]
    vectors = [p for p in model.layers.parameters() if p.ndim == 1]
    others = [*vectors, *model.embed_tokens.parameters(), *model.norm.parameters()]
    return [
        torch.optim.Muon(matrices, lr=MUON_RATE, weight_decay=0.01),
        torch.optim.AdamW(others, lr=ADAM_RATE, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def make_loss(model: TinyChat) -> Callable[[Batch], Tensor]:
    """The mean cross-entropy of the learnt tokens, compiled."""

    def loss(ids: Tensor, learnt: Tensor, following: Tensor) -> Tensor:
        hidden = model.hidden(ids).flatten(0, 1)[learnt]
        return F.cross_entropy(model.logits(hidden).float(), following)

    compiled = torch.compile(loss, dynamic=True)

    def of_batch(batch: Batch) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            value: Tensor = compiled(batch.ids, batch.learnt, batch.following)
        return value

    return of_batch


def average_gradients(model: TinyChat) -> None:
    """Replace the gradients of every process by their mean."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    sizes = [gradient.numel() for gradient in gradients]
    for gradient, mean in zip(gradients, torch.split(flat, sizes), strict=True):
        gradient.copy_(mean.view_as(gradient))


def agreed(value: float) -> float:
    """The value of the first process."""
    shared = torch.tensor(value, dtype=torch.float64)
    dist.broadcast(shared, src=0)
    return float(shared)


def train(
    out: Path,
    *,
    seed: int,
    steps: int | None,
    minutes: float | None,
    resume: Path | None,
    rate: float,
    tool_share: float,
) -> None:
    """Train for a number of steps, or else of minutes, saving to ``out`` as it goes.

    With ``resume``, go on from that run or from those exported files. ``rate`` is a share of the
    learning rates; ``tool_share`` is that of the conversations that offer tools.
    """
    torch.manual_seed(seed)
    rank = dist.get_rank()
    if resume is None:
        texts = tokenizer_texts(Random(seed), TOKENIZER_SAMPLES)
        tokenizer = train_tokenizer(texts, VOCAB_SIZE, SPACED_WORDS)
        model = TinyChat(ModelConfig(vocab_size=VOCAB_SIZE))
        prepare_copying(model)
    else:
        tokenizer, config, weights = load_run(resume)
        model = TinyChat(config)
        model.load_state_dict(weights)
    talk_first = TALK_FIRST if resume is None else 0.0
    loss_of = make_loss(model)
    steppers = optimizers(model)
    full_rates = [rate * stepper.param_groups[0]["lr"] for stepper in steppers]
    started = time.monotonic()
    smooth = float("nan")
    tokens = BATCH_TOKENS // dist.get_world_size()
    talk = batches(tokenizer, Random(f"{seed} talk {rank}"), tokens, 0)
    everything = batches(tokenizer, Random(f"{seed} everything {rank}"), tokens, tool_share)
    for step in itertools.count():
        elapsed = (time.monotonic() - started) / 60
        progress = step / steps if steps is not None else agreed(elapsed / (minutes or 1))
        if progress >= 1:
            break
        for stepper, full_rate in zip(steppers, full_rates, strict=True):
            stepper.param_groups[0]["lr"] = full_rate * rate_factor(progress)
        loss = loss_of(next(talk if progress < talk_first else everything))
        torch.autograd.backward(loss)
        average_gradients(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper in steppers:
            stepper.step()
            stepper.zero_grad()
        smooth = loss.item() if math.isnan(smooth) else 0.95 * smooth + 0.05 * loss.item()
        if rank == 0 and step % 20 == 0:
            print(f"step {step}  loss {smooth:.4f}  {elapsed:.1f} minutes", flush=True)
        if rank == 0 and step % SAVE_EVERY == 0:
            save_run(model, tokenizer, out)
    if rank == 0:
        save_run(model, tokenizer, out)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", type=Path, help="a run, or exported files, to go on from")
    parser.add_argument("--rate", type=float, default=1.0, help="share of the learning rates")
    parser.add_argument("--tool-share", type=float, default=TOOL_SHARE)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--steps", type=int)
    length.add_argument("--minutes", type=float)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    train(**vars(arguments))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
