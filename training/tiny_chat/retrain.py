"""Train, export and score in one go: ``python -m training.tiny_chat.retrain OUT``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from training.tiny_chat.score import WEIGHTS, score

ROOT = Path(__file__).parents[2]
STEPS = 2400
RESUMED_STEPS = 440
PROCESSES = 2


def retrain(out: Path) -> dict[str, Any]:
    """Train in two stages into ``out``, export their mean into ``out/weights``; the score.

    Raises:
        CalledProcessError: training or export failed; their output says why.
    """
    first, second, weights = out / "first", out / "second", out / "weights"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    torchrun.append(f"--nproc-per-node={PROCESSES}")
    _run(torchrun, "train", f"--steps={STEPS}", f"--out={first}")
    resumed = ("--seed=2", f"--resume={first}", f"--steps={RESUMED_STEPS}", f"--out={second}")
    _run(torchrun, "train", *resumed)
    _run([sys.executable], "export", str(first), str(second), str(weights))
    return score(weights / WEIGHTS.name)


def _run(launcher: list[str], module: str, *arguments: str) -> None:
    command = [*launcher, "-m", f"training.tiny_chat.{module}", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, cwd=ROOT, env=environment)


def main() -> None:
    """Read the command line, retrain and print the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    result = retrain(arguments.out)
    for part in ("questions", "paraphrases", "tool_calls"):
        print(f"{part}: {result[part]['right']} of {result[part]['of']}")


if __name__ == "__main__":
    main()
