"""Write what was trained as it ships, in half of the precision: `… .export RUN OUT`."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline


def export(run: Path, out: Path) -> None:
    """The files of a pipeline, safetensors in F16."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        run, dtype=torch.float16, safety_checker=None, local_files_only=True
    )
    pipeline.save_pretrained(out, safe_serialization=True)
    for file in out.rglob("*.safetensors"):
        file.chmod(0o644)  # they are left readable by their owner alone


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    export(arguments.run, arguments.out)


if __name__ == "__main__":
    main()
