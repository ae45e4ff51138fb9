"""The engine on a pipeline in a directory, and what it draws."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.pictures import noise, png
from xinfer.model.image.diffusers.engine import DiffusersEngine
from xinfer.model.image.diffusers.options import DiffusersOptions
from xinfer.model.inspect.model import inspect_variants
from xinfer.types.product import Picture, Preview, Product
from xinfer.types.request import ImageRequest, Media

GIVEN = Media(png(noise(1, 16, 16)), "image")
MASK = Media(png(noise(2, 16, 16) * 0 + 255), "mask")

Pixels = NDArray[np.uint8]


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[DiffusersEngine]:
    [spec] = inspect_variants(str(folder))
    engine = DiffusersEngine(spec, DiffusersOptions(n_threads=1, **options))
    engine.load(lambda _: None)
    try:
        yield engine
    finally:
        engine.close()


def request(task: str = "text2image", **more: Any) -> ImageRequest:
    given: dict[str, Any] = {"prompt": "a cat", "steps": 2, "seed": 5}
    if task != "text2image":
        given["images"] = (GIVEN,)
    if task == "inpainting":
        given["mask"] = MASK
    return ImageRequest(task=task, **{**given, **more})


def products(engine: DiffusersEngine, asked: ImageRequest) -> list[Product]:
    made: list[Product] = []
    engine.check(asked)
    engine.work(asked, made.append)
    return made


def drawn(engine: DiffusersEngine, task: str = "text2image", **more: Any) -> list[Pixels]:
    """The pixels of each picture, (height, width, 3)."""
    made = products(engine, request(task, **more))
    return [pixels(one) for one in made if isinstance(one, Picture)]


def pixels(picture: Picture | Preview) -> Pixels:
    assert picture.data.startswith(b"\x89PNG")
    return np.asarray(Image.open(io.BytesIO(picture.data)), dtype=np.uint8)


def same(one: Pixels, other: Pixels) -> bool:
    return one.shape == other.shape and bool((one == other).all())
