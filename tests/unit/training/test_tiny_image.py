"""tiny-image: what it learned from, the check of what it draws, and its score on unseen pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from training.tiny_image.look import seen
from training.tiny_image.score import SCORE, WEIGHTS, Artist, digest, score
from training.tiny_image.shapes import COLORS, SHAPES, SIZE, pairs, render, scene

pytestmark = [
    pytest.mark.filterwarnings(f"default:::{module}")
    for module in ("torch", "transformers", "diffusers")
]

ENOUGH = {"held_out": 0.9, "learned": 0.9}
"""Share of the pictures that have to be right."""


def test_the_check_knows_what_was_drawn_by_its_pixels() -> None:
    random = Random(3)
    for _ in range(3):
        for color in COLORS:
            for shape in SHAPES:
                assert seen(render(scene(random, color, shape))) == (color, shape)


def test_the_check_sees_nothing_in_nothing_and_no_shape_in_noise() -> None:
    assert seen(np.full((SIZE, SIZE, 3), 255, np.uint8)) == ("", "")
    noise = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    noise[::2, ::2] = noise[1::2, ::2] = 255
    assert seen(noise)[1] == ""


def test_held_out_pairs_are_apart_from_those_that_are_learned() -> None:
    held_out, learned = pairs(held_out=True), pairs(held_out=False)
    assert len(held_out) == 16
    assert not set(held_out) & set(learned)
    assert {color for color, _ in learned} == {color for color, _ in held_out} == set(COLORS)
    assert {shape for _, shape in learned} == {shape for _, shape in held_out} == set(SHAPES)


def test_weights_are_a_few_megabytes_of_safetensors() -> None:
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 6_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors"}


def test_the_committed_score_is_that_of_the_committed_weights() -> None:
    committed: dict[str, Any] = json.loads(SCORE.read_text(encoding="utf-8"))
    assert committed["unet_sha256"] == digest(WEIGHTS)
    for name, share in ENOUGH.items():
        assert committed[name]["right"] >= share * committed[name]["of"]


def test_nine_of_ten_pairs_that_it_never_saw_are_drawn_right() -> None:
    found = score(WEIGHTS, held_out=True)
    assert found["of"] == 32
    assert found["right"] >= ENOUGH["held_out"] * found["of"]


@pytest.fixture(scope="module")
def artist() -> Iterator[Artist]:
    made = Artist(WEIGHTS)
    yield made
    made.close()


def test_it_repeats_by_its_seed_and_differs_by_another(artist: Artist) -> None:
    first, second = artist.draw("a red circle", seed=5, n=2)
    [again] = artist.draw("a red circle", seed=6)
    assert (second == again).all()
    assert (first != second).any()


def test_a_picture_of_any_size_is_of_what_was_asked_for(artist: Artist) -> None:
    [large] = artist.draw("a red circle", seed=3, width=1024, height=1024)
    [small] = artist.draw("a red circle", seed=3)
    assert large.shape == (1024, 1024, 3)
    assert seen(np.asarray(Image.fromarray(large).resize((SIZE, SIZE)))) == ("red", "circle")
    assert seen(small) == ("red", "circle")
