"""Write what was trained as it ships, in half of the precision: `… .export RUN OUT`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from training.tiny_image.shapes import SIZE

STEPS, GUIDANCE = 20, 1.5
"""Where a request does not say."""
NATIVE_PIXELS = SIZE * SIZE
"""Larger pictures are enlarged ones: it has learned shapes of one size."""


def export(run: Path, out: Path) -> None:
    """The files of a pipeline, safetensors in F16."""
    pipeline = StableDiffusionPipeline.from_pretrained(
        run, dtype=torch.float16, safety_checker=None, local_files_only=True
    )
    pipeline.save_pretrained(out, safe_serialization=True)
    defaults = {
        "guidance_scale": GUIDANCE,
        "num_inference_steps": STEPS,
        "native_pixels": NATIVE_PIXELS,
    }
    (out / "generation_config.json").write_text(json.dumps(defaults) + "\n", encoding="utf-8")
    for config in out.rglob("*.json"):  # where it was trained is nobody's business
        values = json.loads(config.read_text(encoding="utf-8"))
        kept = {name: value for name, value in values.items() if name != "_name_or_path"}
        if kept != values:
            config.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
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
