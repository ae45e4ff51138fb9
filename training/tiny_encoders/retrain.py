"""Train, export and score both models in one go: `python -m training.tiny_encoders.retrain OUT`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from training.tiny_encoders import train_embed, train_rerank
from training.tiny_encoders.export import export
from training.tiny_encoders.score import KINDS, score

STAGES: tuple[dict[str, Any], ...] = (
    {},
    {"steps": 1000, "seed": 2, "rate": 6e-4},
    {"steps": 550, "seed": 3, "rate": 6e-4},
)
"""Of tiny-rerank, each of which goes on from the one before."""


def retrain(out: Path) -> dict[str, dict[str, Any]]:
    """Train into `out`, export into `out/tiny-embed` and `out/tiny-rerank`; their scores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more wait for one another longer than they compute
    try:
        train_embed.train(out / "embed")
        start = out / "embed"
        for number, options in enumerate(STAGES):
            train_rerank.train(start, out / f"rerank-{number}", **options)
            start = out / f"rerank-{number}"
    finally:
        torch.set_num_threads(threads)
    scores = {}
    for kind, run in zip(KINDS, (out / "embed", start), strict=True):
        files = out / f"tiny-{kind}"
        export(kind, run, files)
        scores[kind] = score(kind, files / f"tiny-{kind}-f16.gguf")
    return scores


def main() -> None:
    """Read the command line, retrain and print the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    for kind, result in retrain(parser.parse_args().out).items():
        print(f"tiny-{kind}: {result}")


if __name__ == "__main__":
    main()
