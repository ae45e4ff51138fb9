"""Train tiny-whisper: `python -m training.tiny_audio.train OUT`. Needs espeak-ng.

It learns on short recordings first, which cost little, and on those of 30 seconds at the end. An
additional loss (CTC) on the encoder shows it early where in the recording the words are.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from random import Random
from typing import NamedTuple

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor, nn

from training.tiny_audio.model import (
    IGNORED,
    POSITIONS,
    WIDTH,
    Listener,
    build_model,
    encode,
    target,
)
from training.tiny_audio.sounds import Clips, Recording, record, silence
from training.tiny_audio.speech import RATE, manners, speak
from training.tiny_audio.tokenizer import build_tokenizer
from training.tiny_audio.words import WORDS

MANNERS = 60
"""Ways in which each digit is spoken."""
SILENT = 0.05
_SHORT = 8.0
"""Seconds."""


class Stage(NamedTuple):
    steps: int
    batch: int
    seconds: tuple[float, float]
    groups: int
    rate: float
    """Of learning, at its height."""
    filled: float = 1.0
    """Share of recordings that may be as long as they can; the others are short ones in windows
    that are filled up."""
    decoder_only: bool = False
    """The encoder stays as it is."""


STAGES = (
    Stage(900, 24, (2.5, 4.5), 2, 2e-3),
    Stage(700, 16, (4, 9), 3, 1.5e-3),
    Stage(1200, 24, (2, 3.8), 2, 1.5e-3),
    Stage(350, 24, (2, 3.8), 2, 2e-3, decoder_only=True),
    Stage(90, 6, (30, 30), 9, 1.2e-3, decoder_only=True),
    Stage(220, 12, (4, 8), 3, 1.5e-3, decoder_only=True),
    Stage(180, 6, (30, 30), 9, 8e-4),
    Stage(600, 8, (30, 30), 3, 1.5e-3, filled=0.15, decoder_only=True),
    Stage(1000, 8, (30, 30), 2, 1.5e-3, filled=0.05),
    Stage(1400, 8, (8, 30), 2, 1.5e-3, filled=0.1),
    Stage(600, 8, (30, 30), 2, 1e-3, filled=0.05),
)


def speak_all(random: Random, count: int) -> Clips:
    """Every digit of each language, in so many manners."""
    clips: dict[str, list[list[Tensor]]] = {}
    for language, words in WORDS.items():
        clips[language] = [[] for _ in words]
        for voice, pitch, speed in manners(language, random, count):
            # A comma and a question mark are another melody.
            mark = random.choice(("", "", ",", "?"))
            for digit, word in enumerate(words):
                clips[language][digit].append(speak(word + mark, voice, pitch=pitch, speed=speed))
    return clips


def draw(clips: Clips, stage: Stage, random: Random) -> list[Recording]:
    """Recordings of one length for a batch."""
    seconds = random.uniform(*stage.seconds)
    drawn = []
    for _ in range(stage.batch):
        if random.random() < SILENT:
            drawn.append(Recording(silence(random, seconds), random.choice(("en", "de")), []))
            continue
        # Speech may fill the recording or a part of it, as in windows that are filled up.
        most = seconds if random.random() < stage.filled else min(seconds, _SHORT)
        filled = random.uniform(min(2.5, most), most)
        cut = random.random() < 0.3
        made = record(
            clips, random, seconds=filled, groups=random.randint(1, stage.groups), cut=cut
        )
        if filled < seconds:
            size = int(seconds * RATE)
            rest = torch.zeros(size).numpy()
            rest[: len(made.samples)] = made.samples[:size]
            made = made._replace(samples=rest)
        drawn.append(made)
    return drawn


class Trainer:
    """The model, what helps it learn, and what it is taught."""

    def __init__(self, clips: Clips, random: Random) -> None:
        self.clips, self.random = clips, random
        self.tokenizer: Tokenizer = build_tokenizer()
        self.model = build_model(self.tokenizer)
        self.listen = Listener()
        self.spot = nn.Linear(WIDTH, 21)
        """Which digit of which language is said; 20 for none."""

    def loss(self, stage: Stage) -> tuple[Tensor, float]:
        """Of one batch, and the share of tokens that it gets right."""
        recordings = draw(self.clips, stage, self.random)
        samples = torch.stack([torch.from_numpy(one.samples) for one in recordings])
        features = self.listen(samples)[..., : 2 * POSITIONS]
        features = features[..., : features.shape[-1] // 2 * 2]
        pairs = [target(one, self.tokenizer, self.random) for one in recordings]
        longest = max(len(tokens) for tokens, _ in pairs)
        tokens = torch.full((len(pairs), longest), 0)
        wanted = torch.full((len(pairs), longest), IGNORED)
        for row, (given, following) in enumerate(pairs):
            tokens[row, : len(given)] = torch.tensor(given)
            wanted[row, : len(given)] = torch.tensor(following)
        with torch.autocast("cpu", torch.bfloat16):
            with torch.set_grad_enabled(not stage.decoder_only):
                states = encode(self.model, features)
            decoded = self.model.model.decoder(
                input_ids=tokens, encoder_hidden_states=states, use_cache=False
            ).last_hidden_state
            kept = wanted != IGNORED
            logits = self.model.proj_out(decoded[kept]).float()
            heard = self.spot(states).float()
        wanted = wanted[kept]
        right = (logits.argmax(-1) == wanted).float().mean().item()
        loss = F.cross_entropy(logits, wanted)
        if not stage.decoder_only:
            loss = loss + 0.5 * self._spotted(heard, recordings)
        return loss, right

    def _spotted(self, heard: Tensor, recordings: list[Recording]) -> Tensor:
        whole = [row for row, one in enumerate(recordings) if one.cut is None]
        digits = [
            [said.digit + (10 if one.language == "de" else 0) for said in one.digits]
            for one in recordings
        ]
        lengths = torch.tensor([len(digits[row]) for row in whole])
        frames = torch.full((len(whole),), heard.shape[1])
        flat = torch.tensor([digit for row in whole for digit in digits[row]])
        chances = F.log_softmax(heard[whole], -1).transpose(0, 1)
        return F.ctc_loss(chances, flat, frames, lengths, blank=20, zero_infinity=True)

    def run(self, stage: Stage) -> None:
        """Train for the steps of one stage."""
        encoder = [] if stage.decoder_only else [*self.model.model.encoder.parameters()]
        parameters = [*self.model.model.decoder.parameters(), *encoder, *self.spot.parameters()]
        optimizer = torch.optim.AdamW(
            parameters, lr=stage.rate, weight_decay=0.01, betas=(0.9, 0.98)
        )
        factor = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, stage.rate, total_steps=stage.steps, pct_start=0.1
        )
        began = time.monotonic()
        for step in range(stage.steps):
            loss, right = self.loss(stage)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            factor.step()
            if step % 50 == 0 or step == stage.steps - 1:
                took = time.monotonic() - began
                print(f"{step} loss {loss.item():.3f} right {right:.3f} {took:.0f} s", flush=True)


def train(
    out: Path, *, stages: tuple[Stage, ...] = STAGES, seed: int = 1, start: Path | None = None
) -> None:
    """Train and save what Transformers loads in `out`.

    Args:
        start: a run to go on from.
    """
    torch.manual_seed(seed)
    random = Random(seed)
    trainer = Trainer(speak_all(random, MANNERS), random)
    if start is not None:
        kept = torch.load(start / "training.pt", weights_only=True)
        trainer.model.load_state_dict(kept["model"])
        trainer.spot.load_state_dict(kept["spot"])
    out.mkdir(parents=True, exist_ok=True)
    for stage in stages:
        print(stage, flush=True)
        trainer.run(stage)
        kept = {"model": trainer.model.state_dict(), "spot": trainer.spot.state_dict()}
        torch.save(kept, out / "training.pt")
    trainer.model.save_pretrained(out)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--first", type=int, default=0, help="stage to begin with")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    stages = STAGES[arguments.first :]
    train(arguments.out, stages=stages, seed=arguments.seed, start=arguments.start)


if __name__ == "__main__":
    main()
