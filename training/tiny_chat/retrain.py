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
PROCESSES = 2
FIRST = ("--steps=2400",)
SECOND = ("--steps=440", "--seed=2", "--rate=0.33")
THIRD = ("--steps=1200", "--seed=3", "--rate=0.5", "--tool-share=0.6")
FOURTH = ("--steps=400", "--seed=4", "--rate=0.33", "--tool-share=0.45")


def retrain(out: Path) -> dict[str, Any]:
    """Train in four stages into ``out``, export into ``out/weights``; the score.

    Raises:
        CalledProcessError: training or export failed; their output says why.
    """
    first, second, third, fourth = (out / name for name in ("first", "second", "third", "fourth"))
    talking, mixed, weights = (out / name for name in ("talking", "mixed", "weights"))
    _train(first, *FIRST)
    _train(second, f"--resume={first}", *SECOND)
    _export(first, second, talking)
    _train(third, f"--resume={talking}", *THIRD)
    _export(talking, third, mixed)
    _train(fourth, f"--resume={mixed}", *FOURTH)
    _export(third, fourth, weights)
    return score(weights / WEIGHTS.name)


def _train(out: Path, *arguments: str) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    _run([*launcher, f"--nproc-per-node={PROCESSES}"], "train", f"--out={out}", *arguments)


def _export(*directories: Path) -> None:
    _run([sys.executable], "export", *map(str, directories))


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
