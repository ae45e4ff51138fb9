"""Score the model that ships: `python -m training.tiny_image.score`; needs the extra `[image]`.

It is asked for each color with each shape, among them the pairs that are in no picture it learned
from; by the pixels of what it draws, it has to be that color and that shape.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.tiny_image.look import seen
from training.tiny_image.shapes import Pixels, pairs
from xinfer.model.image.diffusers.engine import DiffusersEngine
from xinfer.model.image.diffusers.options import DiffusersOptions
from xinfer.model.inspect.model import inspect_variants
from xinfer.types.product import Picture, Product
from xinfer.types.request import ImageRequest

HERE = Path(__file__).parent
SCORE = HERE / "score.json"
WEIGHTS = HERE.parents[1] / "xinfer/model/catalog/weights/tiny-image"
UNET = "unet/diffusion_pytorch_model.safetensors"
SEEDS = 2
"""Pictures of each pair."""


class Artist:
    """The engine on the files of a model; close it."""

    def __init__(self, folder: Path) -> None:
        [spec] = inspect_variants(str(folder))
        self._engine = DiffusersEngine(spec, DiffusersOptions(device="cpu", n_threads=1))
        self._engine.load(lambda _: None)

    def draw(self, prompt: str, *, seed: int, n: int = 1, **more: Any) -> list[Pixels]:
        request = ImageRequest(task="text2image", prompt=prompt, n=n, seed=seed, **more)
        made: list[Product] = []
        self._engine.check(request)
        self._engine.work(request, made.append)
        return [pixels(one.data) for one in made if isinstance(one, Picture)]

    def close(self) -> None:
        self._engine.close()


def pixels(png: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(png)), dtype=np.uint8)


def score(folder: Path, *, held_out: bool) -> dict[str, int]:
    """How many pictures are of the color and the shape that they were asked for."""
    artist = Artist(folder)
    try:
        right = total = 0
        for number, (color, shape) in enumerate(pairs(held_out=held_out)):
            for picture in artist.draw(f"a {color} {shape}", seed=1000 * number, n=SEEDS):
                right += seen(picture) == (color, shape)
                total += 1
        return {"right": right, "of": total}
    finally:
        artist.close()


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / UNET).read_bytes()).hexdigest()


def main() -> None:
    """Score both sets and write score.json."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    result: dict[str, Any] = {"unet_sha256": digest(WEIGHTS)}
    for name, held_out in (("held_out", True), ("learned", False)):
        result[name] = score(WEIGHTS, held_out=held_out)
        print(f"tiny-image, {name}: {result[name]['right']} of {result[name]['of']}")
    SCORE.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
