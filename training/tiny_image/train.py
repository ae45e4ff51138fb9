"""Train tiny-image into a directory: `python -m training.tiny_image.train OUT`.

First an autoencoder, then, on what it makes of the pictures, the model that draws, together with
its text encoder. One thread; some 20 minutes of a processor.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from training.tiny_image.model import autoencoder, scheduler, text_encoder, unet
from training.tiny_image.shapes import pairs, render, scene
from training.tiny_image.tokenizer import build_tokenizer

PICTURES = 12_000
AUTOENCODER_STEPS, AUTOENCODER_BATCH = 900, 16
STEPS, BATCH = 10_000, 24
EVERY = 500
"""Steps after which what has been learned is written."""
_WITHOUT_WORDS = 0.1
"""Share of the pictures that are learned without their captions: guidance needs it."""
_KEPT = 0.998
"""Of the running mean of the weights, each step."""


def train(out: Path, *, seed: int = 1) -> None:
    """Write the pipeline into `out`, in float32."""
    torch.set_num_threads(1)  # more wait for one another longer than they compute
    torch.manual_seed(seed)
    random = Random(seed)
    learned = pairs(held_out=False)
    scenes = [scene(random, *random.choice(learned)) for _ in range(PICTURES)]
    pictures = torch.from_numpy(np.stack([render(one) for one in scenes])).permute(0, 3, 1, 2)
    vae = _train_autoencoder(pictures)
    with torch.no_grad():
        latents = torch.cat(
            [vae.encode(_floats(part)).latent_dist.mean for part in pictures.split(200)]
        )
    scale = 1 / latents.std().item()
    vae.register_to_config(scaling_factor=scale)
    tokenizer = build_tokenizer()
    ids = tokenizer(
        [one.caption for one in scenes], padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    nothing = tokenizer("", padding="max_length", return_tensors="pt").input_ids[0]
    for text, model in _train_model(latents * scale, ids, nothing, text_encoder(tokenizer)):
        StableDiffusionPipeline(
            vae=vae,
            text_encoder=text,
            tokenizer=tokenizer,
            unet=model,
            scheduler=scheduler(),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        ).save_pretrained(out)


def _floats(pictures: Tensor) -> Tensor:
    """From -1 to 1."""
    return pictures.float() / 127.5 - 1


def _train_autoencoder(pictures: Tensor) -> torch.nn.Module:
    vae = autoencoder()
    optimizer = torch.optim.AdamW(vae.parameters(), 3e-3, weight_decay=0.0)
    for step in range(AUTOENCODER_STEPS):
        _set_rate(optimizer, 3e-3, step, AUTOENCODER_STEPS)
        batch = _floats(pictures[torch.randint(len(pictures), (AUTOENCODER_BATCH,))])
        latent = vae.encode(batch).latent_dist
        difference = vae.decode(latent.sample()).sample - batch
        ink = 1 + 4 * (batch < 0.9).any(dim=1, keepdim=True)  # most of a picture is white
        loss = (ink * (difference.abs() + difference.square())).mean()
        loss = loss + 1e-5 * latent.kl().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0:
            print(f"autoencoder {step}: {loss.item():.4f}", flush=True)
    return vae.eval()


def _train_model(
    latents: Tensor, ids: Tensor, nothing: Tensor, text: torch.nn.Module
) -> Iterator[tuple[torch.nn.Module, torch.nn.Module]]:
    """The text encoder and the model that draws, now and then: running means of their weights."""
    both = torch.nn.ModuleList([text, unet()])
    mean = copy.deepcopy(both)
    noise = scheduler()
    optimizer = torch.optim.AdamW(both.parameters(), 2e-3, weight_decay=1e-3)
    total = 0.0
    for step in range(STEPS):
        _set_rate(optimizer, 2e-3, step, STEPS)
        chosen = torch.randint(len(latents), (BATCH,))
        words = torch.where(torch.rand(BATCH, 1) < _WITHOUT_WORDS, nothing, ids[chosen])
        clean, added = latents[chosen], torch.randn(BATCH, *latents.shape[1:])
        times = torch.randint(noise.config.num_train_timesteps, (BATCH,))
        states = both[0](input_ids=words).last_hidden_state
        found = both[1](noise.add_noise(clean, added, times), times, states).sample
        loss = torch.nn.functional.mse_loss(found, noise.get_velocity(clean, added, times))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 1.0)
        optimizer.step()
        kept = min(_KEPT, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(mean.parameters()), list(both.parameters()), 1 - kept)
        total += loss.item()
        if (step + 1) % 100 == 0:
            print(f"model {step + 1}: {total / 100:.4f}", flush=True)
            total = 0.0
        if (step + 1) % EVERY == 0 or step + 1 == STEPS:
            yield mean[0], mean[1]


def _set_rate(optimizer: torch.optim.Optimizer, most: float, step: int, steps: int) -> None:
    """Up over the first hundred steps, then down as half a cosine."""
    up = min(1.0, (step + 1) / 100)
    for group in optimizer.param_groups:
        group["lr"] = most * up * (0.02 + 0.98 * (1 + math.cos(math.pi * step / steps)) / 2)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    train(parser.parse_args().out)


if __name__ == "__main__":
    main()
