"""What is to be seen in a picture, by its pixels alone: the color and the shape that fit best."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.tiny_image.shapes import COLORS, SHAPES, Pixels, Scene, render

_GRID = 24
_INK = 90
"""How far from white, in steps of all three channels together, a pixel of a shape is."""
_LEAST = 20
"""Pixels that a shape has."""

Mask = NDArray[np.bool_]


def seen(pixels: Pixels) -> tuple[str, str]:
    """Color and shape; two empty texts where there is nothing, or what there is fits no shape."""
    ink = (255 - pixels.astype(int)).sum(axis=2) > _INK
    if ink.sum() < _LEAST:
        return "", ""
    color = np.median(pixels[_inner(ink)], axis=0)
    nearest = min(COLORS, key=lambda name: float(np.abs(color - np.array(COLORS[name])).sum()))
    mask = _normal(ink)
    fit = {shape: _overlap(mask, template) for shape, template in _templates().items()}
    best = max(fit, key=lambda shape: fit[shape])
    return (nearest, best) if fit[best] > 0.7 else (nearest, "")


def _inner(ink: Mask) -> Mask:
    """Pixels with ink on all four sides, where there are some: those at the edge are mixed."""
    inner = ink.copy()
    inner[1:] &= ink[:-1]
    inner[:-1] &= ink[1:]
    inner[:, 1:] &= ink[:, :-1]
    inner[:, :-1] &= ink[:, 1:]
    return inner if inner.any() else ink


def _normal(ink: Mask) -> Mask:
    """What there is, cut out and made of one size, in the proportions that it has."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = max(cut.shape)
    square = np.zeros((side, side), bool)
    top, left = (side - cut.shape[0]) // 2, (side - cut.shape[1]) // 2
    square[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    image = Image.fromarray(square.astype(np.uint8) * 255)
    return np.asarray(image.resize((_GRID, _GRID), Image.Resampling.BOX)) > 127


def _overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


@cache
def _templates() -> dict[str, Mask]:
    scenes = (Scene("black", shape, 0.5, 0.5, 0.4, "") for shape in SHAPES)
    return {
        one.shape: _normal((255 - render(one).astype(int)).sum(axis=2) > _INK) for one in scenes
    }
