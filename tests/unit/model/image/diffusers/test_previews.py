"""Pictures that are shown while they are drawn."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.support import diffusion
from tests.unit.model.image.opening import GIVEN, opened, pixels, products, request
from xinfer.errors import InvalidRequest
from xinfer.model.image.diffusers import drawing
from xinfer.model.image.diffusers.engine import DiffusersEngine
from xinfer.model.image.diffusers.previews import preview_steps, why_none
from xinfer.types.product import Advance, Picture, Preview


@pytest.mark.parametrize(
    ("steps", "count", "after"),
    [
        (20, 3, [5, 10, 15]),
        (20, 1, [10]),
        (20, 0, []),
        (4, 3, [1, 2, 3]),
        (3, 3, [1, 2]),
        (2, 3, [1]),
        (1, 3, []),
    ],
)
def test_previews_are_evenly_apart_and_none_is_of_the_last_step(
    steps: int, count: int, after: list[int]
) -> None:
    assert preview_steps(steps, count) == {step: number for number, step in enumerate(after)}


def shown(engine: DiffusersEngine, **asked: Any) -> list[Preview | Picture]:
    made = products(engine, request(**asked))
    return [one for one in made if not isinstance(one, Advance)]  # type: ignore[misc]


def test_each_picture_is_shown_before_it_is_done(stable_diffusion: Path) -> None:
    with opened(stable_diffusion, batch_size=2) as engine:
        made = shown(engine, n=3, steps=4, previews=2, width=32, height=16)
        order = [(one.index, getattr(one, "number", "done")) for one in made]
        together = [(0, 0), (1, 0), (0, 1), (1, 1), (0, "done"), (1, "done")]
        assert order == [*together, (2, 0), (2, 1), (2, "done")]
        assert {pixels(one).shape for one in made} == {(16, 32, 3)}
        assert shown(engine, n=3, steps=4, width=32, height=16)[0].data == made[4].data
        assert len({one.data for one in made}) == len(made)


CONFIGS = [
    ("stable_diffusion", {"shift_factor": 0.25}),
    ("stable_diffusion_xl", {}),
    ("stable_diffusion_xl", {"latents_mean": [0.1] * 4, "latents_std": [0.7] * 4}),
    ("flux", {"shift_factor": 0.25}),
]


@pytest.mark.parametrize(("kind", "config"), CONFIGS)
@pytest.mark.parametrize("asked", [{}, {"width": 32, "height": 16}, {"images": (GIVEN,)}])
def test_a_preview_after_the_last_step_would_be_the_picture(
    kind: str,
    config: dict[str, Any],
    asked: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(drawing, "preview_steps", lambda steps, count: {steps: 0})
    task = "image2image" if "images" in asked else "text2image"
    with opened(getattr(diffusion, kind)(tmp_path)) as engine:
        engine._open().own.vae.register_to_config(**config)
        preview, picture = shown(engine, task=task, previews=1, steps=4, **asked)
    assert isinstance(preview, Preview)
    assert isinstance(picture, Picture)
    difference = pixels(preview).astype(int) - pixels(picture)
    assert np.abs(difference).max() <= 1


def test_a_model_with_a_judge_shows_nothing_before_it_is_judged() -> None:
    assert "safety checker" in why_none(SimpleNamespace(safety_checker=object()))


def test_a_pipeline_that_is_not_known_shows_nothing(
    stable_diffusion: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(stable_diffusion) as engine:
        engine.check(request(previews=3))
        pipeline = type(engine._open().plain["text2image"])
        monkeypatch.setattr(pipeline, "_callback_tensor_inputs", ["image_embeds"])
        with pytest.raises(InvalidRequest, match="partial_images 0") as refused:
            engine.check(request(previews=1))
        assert refused.value.param == "partial_images"
        engine.check(request())
