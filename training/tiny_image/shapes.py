"""The pictures that tiny-image learns: one shape of one color on white, and what is said of it."""

from __future__ import annotations

import math
from random import Random
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SIZE = 32
"""Pixels, in both directions."""
COLORS = {
    "red": (220, 30, 40),
    "orange": (250, 140, 20),
    "yellow": (245, 215, 30),
    "green": (30, 150, 60),
    "blue": (40, 80, 220),
    "purple": (130, 50, 170),
    "pink": (250, 140, 190),
    "black": (20, 20, 20),
}
SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "ring", "diamond")
HELD_OUT = tuple((color, SHAPES[(3 * i + j) % 8]) for i, color in enumerate(COLORS) for j in (0, 4))
"""Two shapes of each color, and two colors of each shape, that are in no picture learned from."""
RADII = (0.28, 0.40)
"""Half the width of a shape, in widths of the picture."""
_SHIFT = 0.1
"""How far from the middle its own may be."""
_SHARPER = 4
_WHITE = (255, 255, 255)
_FRAMES = (
    "{}",
    "a {}",
    "a {} on a white background",
    "draw a {}",
    "a picture of a {}",
    "a drawing of a {}",
)

Pixels = NDArray[np.uint8]
"""(SIZE, SIZE, 3)."""


class Scene(NamedTuple):
    """What is to be seen; `x`, `y` and `radius` in widths of the picture."""

    color: str
    shape: str
    x: float
    y: float
    radius: float
    caption: str


def scene(random: Random, color: str, shape: str) -> Scene:
    """Somewhere about the middle, of some size, and told in some words."""
    x, y = (0.5 + random.uniform(-_SHIFT, _SHIFT) for _ in range(2))
    caption = random.choice(_FRAMES).format(f"{color} {shape}")
    return Scene(color, shape, x, y, random.uniform(*RADII), caption)


def pairs(*, held_out: bool) -> list[tuple[str, str]]:
    """Colors with shapes: those that are learned from, or the others."""
    return [
        (color, shape)
        for color in COLORS
        for shape in SHAPES
        if ((color, shape) in HELD_OUT) == held_out
    ]


def render(what: Scene) -> Pixels:
    """The picture, with smooth edges."""
    size = SIZE * _SHARPER
    image = Image.new("RGB", (size, size), _WHITE)
    draw = ImageDraw.Draw(image)
    x, y, radius = (size * value for value in (what.x, what.y, what.radius))
    fill = COLORS[what.color]
    box = (x - radius, y - radius, x + radius, y + radius)
    if what.shape in ("circle", "ring"):
        draw.ellipse(box, fill=fill)
        if what.shape == "ring":
            hole = 0.55 * radius
            draw.ellipse((x - hole, y - hole, x + hole, y + hole), fill=_WHITE)
    else:
        draw.polygon([(x + radius * u, y + radius * v) for u, v in _outline(what.shape)], fill=fill)
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=np.uint8)


def _outline(shape: str) -> list[tuple[float, float]]:
    """Corners, from -1 to 1 in both directions."""
    if shape == "square":
        return [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]
    if shape == "triangle":
        return [(0, -1), (1, 0.85), (-1, 0.85)]
    if shape == "diamond":
        return [(0, -1), (0.8, 0), (0, 1), (-0.8, 0)]
    if shape == "cross":
        arm = 0.33
        quarter = [(-arm, -1.0), (arm, -1.0), (arm, -arm)]
        turns = ((1, 0), (0, 1), (-1, 0), (0, -1))
        return [(u * c - v * s, u * s + v * c) for c, s in turns for u, v in quarter]
    if shape == "star":
        radii = (1.0, 0.4)
        return [
            (radii[k % 2] * math.sin(k * math.pi / 5), -radii[k % 2] * math.cos(k * math.pi / 5))
            for k in range(10)
        ]
    return [  # heart
        (
            math.sin(t) ** 3,
            -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16,
        )
        for t in (2 * math.pi * k / 60 for k in range(60))
    ]
