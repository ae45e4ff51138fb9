"""The diffusers engine on pipelines of a few kilobytes: what it is asked is what it does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support import diffusion
from tests.support.pictures import noise, png, png_file
from tests.unit.model.image.opening import (
    GIVEN,
    drawn,
    opened,
    pixels,
    products,
    request,
    same,
)
from xinfer.errors import Cancelled, InvalidRequest, PayloadTooLarge, Unavailable
from xinfer.model.image.diffusers.engine import DiffusersEngine
from xinfer.model.image.diffusers.options import DiffusersOptions
from xinfer.types.model import ModelSpec
from xinfer.types.product import Advance, Picture, Preview, Product
from xinfer.types.request import EncodeRequest, ImageRequest, Media

TASKS = ("text2image", "image2image", "inpainting")


@pytest.fixture(scope="module")
def engine(stable_diffusion: Path) -> Iterator[DiffusersEngine]:
    with opened(stable_diffusion) as made:
        yield made


@pytest.mark.parametrize("kind", ["stable_diffusion", "stable_diffusion_xl", "flux"])
def test_every_family_draws_in_every_way(kind: str, tmp_path: Path) -> None:
    with opened(getattr(diffusion, kind)(tmp_path)) as made:
        for task in TASKS:
            [picture] = drawn(made, task, width=32, height=16, steps=4)
            assert picture.shape == (16, 32, 3)


def test_a_seed_draws_the_same_again_and_each_picture_has_its_own(engine: DiffusersEngine) -> None:
    made = products(engine, request(n=3, seed=5))
    pictures = [one for one in made if isinstance(one, Picture)]
    assert [(one.index, one.seed) for one in pictures] == [(0, 5), (1, 6), (2, 7)]
    first, second, third = drawn(engine, n=3, seed=5)
    assert not same(first, second)
    assert same(drawn(engine, seed=7)[0], third)
    assert not same(*(drawn(engine, seed=None)[0] for _ in range(2)))


def test_progress_is_told_step_by_step_over_all_pictures(engine: DiffusersEngine) -> None:
    told = [one for one in products(engine, request(n=2, steps=4)) if isinstance(one, Advance)]
    fractions = [one.done / one.total for one in told]
    assert fractions == sorted(fractions)
    assert set(fractions) == {0, 1 / 8, 2 / 8, 3 / 8, 4 / 8, 5 / 8, 6 / 8, 7 / 8, 1}


def test_what_is_cancelled_ends_with_its_step(
    engine: DiffusersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0
    unet = type(engine._open().own.unet)
    compute = unet.forward

    def counted(*arguments: Any, **more: Any) -> Any:
        nonlocal steps
        steps += 1
        return compute(*arguments, **more)

    def report(product: Product) -> None:
        if steps == 3:
            raise Cancelled("Nothing more is wanted.")

    monkeypatch.setattr(unet, "forward", counted)
    with pytest.raises(Cancelled):
        engine.work(request(steps=50), report)
    assert steps == 3
    assert drawn(engine), "the engine goes on with the next one"


@pytest.mark.parametrize(
    ("memory", "batches"), [(4, [4, 1]), (3, [4, 2, 2, 1]), (1, [4, 2, 1, 1, 1, 1, 1])]
)
def test_pictures_that_do_not_fit_into_memory_together_are_drawn_in_smaller_batches(
    stable_diffusion: Path, monkeypatch: pytest.MonkeyPatch, memory: int, batches: list[int]
) -> None:
    tried: list[int] = []
    with opened(stable_diffusion, batch_size=4) as made:
        alone = drawn(made, n=5, seed=1, guidance=1.0, steps=1)
        unet = type(made._open().own.unet)
        compute = unet.forward

        def bounded(self: Any, sample: Any, *arguments: Any, **more: Any) -> Any:
            tried.append(len(sample))
            if len(sample) > memory:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return compute(self, sample, *arguments, **more)

        monkeypatch.setattr(unet, "forward", bounded)
        together = drawn(made, n=5, seed=1, guidance=1.0, steps=1)
        assert tried == batches
        for one, other in zip(alone, together, strict=True):
            assert np.abs(one.astype(int) - other.astype(int)).max() <= 2


def test_a_picture_that_does_not_fit_alone_is_refused_for_now(
    engine: DiffusersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(type(engine._open().own.unet), "forward", fail)
    with pytest.raises(Unavailable, match="cpu_offload") as refused:
        engine.work(request(), lambda _: None)
    assert refused.value.code == "no_capacity"


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a dog"},
        {"negative_prompt": "dogs"},
        {"guidance": 1.5},
        {"steps": 3},
        {"scheduler": "ddpm"},
        {"seed": 6},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_a_request_says_bears_on_the_picture(
    engine: DiffusersEngine, change: dict[str, Any]
) -> None:
    assert not same(drawn(engine)[0], drawn(engine, **change)[0])


def test_the_launch_says_what_a_request_does_not(stable_diffusion: Path) -> None:
    options = {"steps": 3, "guidance": 2.0, "scheduler": "Euler a", "negative_prompt": "dogs"}
    asked = {**options, "scheduler": "euler_a"}
    with opened(stable_diffusion) as plain, opened(stable_diffusion, **options) as made:
        assert same(drawn(plain, **asked)[0], drawn(made, steps=None)[0])
        assert not same(drawn(plain)[0], drawn(made, steps=None)[0])


def test_the_strength_is_the_share_of_steps_that_are_drawn(engine: DiffusersEngine) -> None:
    for strength, steps in ((0.25, 2), (0.75, 6)):
        made = products(engine, request("image2image", steps=8, strength=strength))
        assert len([one for one in made if isinstance(one, Advance)]) == 1 + steps


def test_a_given_picture_has_its_own_size_unless_another_is_asked_for(
    engine: DiffusersEngine,
) -> None:
    wide = Media(png(noise(1, 41, 19)), "image")
    assert drawn(engine, "image2image", images=(wide,))[0].shape == (16, 40, 3)
    [picture] = drawn(engine, "image2image", images=(wide,), width=8, height=24)
    assert picture.shape == (24, 8, 3)


def test_what_is_larger_than_the_model_draws_well_is_enlarged(stable_diffusion: Path) -> None:
    wide = {"width": 64, "height": 32}
    with opened(stable_diffusion) as plain, opened(stable_diffusion, native_pixels=256) as made:
        [small] = drawn(plain, width=16, height=8)
        enlarged = np.asarray(Image.fromarray(small).resize((64, 32)))
        assert same(drawn(made, **wide)[0], enlarged)
        assert same(drawn(made, width=16, height=16)[0], drawn(plain, width=16, height=16)[0])
        asked = request(**wide, steps=2, previews=1)
        preview = next(one for one in products(made, asked) if isinstance(one, Preview))
        assert pixels(preview).shape == (32, 64, 3)
        given = Media(png(noise(1, 40, 20)), "image")
        assert drawn(made, "image2image", images=(given,))[0].shape == (16, 40, 3)


def test_a_model_says_itself_what_it_draws_well(stable_diffusion: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sd"
    shutil.copytree(stable_diffusion, folder)
    (folder / "generation_config.json").write_text('{"native_pixels": 64, "eos": [1]}')
    wide = {"width": 32, "height": 32}
    with opened(folder) as said, opened(stable_diffusion, native_pixels=64) as launched:
        [picture] = drawn(said, **wide)
        assert same(picture, drawn(launched, **wide)[0])


def test_outside_of_the_mask_each_pixel_stays_as_it_was(engine: DiffusersEngine) -> None:
    given, half = noise(1, 16, 16), noise(2, 16, 16) * 0
    half[:, 8:] = 255
    first, other = (
        drawn(engine, "inpainting", mask=Media(png(half), "mask"), seed=seed)[0] for seed in (1, 2)
    )
    assert (first[:, :8] == given[:, :8]).all()
    assert (other[:, :8] == given[:, :8]).all()
    assert (first[:, 8:] != other[:, 8:]).any()


def test_outside_of_the_mask_it_stays_so_where_what_is_drawn_is_enlarged(
    stable_diffusion: Path,
) -> None:
    given, half = noise(1, 32, 32), noise(2, 32, 32) * 0
    half[:, 16:] = 255
    asked = {"images": (Media(png(given), "image"),), "mask": Media(png(half), "mask")}
    with opened(stable_diffusion, native_pixels=256) as made:
        [picture] = drawn(made, "inpainting", **asked)
    assert (picture[:, :16] == given[:, :16]).all()
    assert (picture[:, 16:] != given[:, 16:]).any()


def test_schedulers_are_known_by_several_names(engine: DiffusersEngine) -> None:
    names = ("dpm++_2m_karras", "DPM++ 2M Karras")
    assert same(*(drawn(engine, scheduler=name)[0] for name in names))
    assert same(*(drawn(engine, scheduler=n)[0] for n in ("euler", "EulerDiscreteScheduler")))


def test_pndm_draws_in_few_steps_too(engine: DiffusersEngine) -> None:
    for steps in (1, 2, 3):
        assert same(
            *(drawn(engine, scheduler=n, steps=steps)[0] for n in ("pndm", "PNDMScheduler"))
        )


@pytest.mark.parametrize(
    ("change", "param", "words"),
    [
        ({"scheduler": "flow_euler"}, "sampler_name", "It has: ddim, "),
        ({"width": 15, "height": 16}, "size", "multiples of 8"),
        ({"width": 4096, "height": 4096}, "size", "at most 4194304 pixels"),
        ({"width": 99_999, "height": 99_999}, "size", "at most 4194304 pixels"),
        ({"steps": 501}, "num_inference_steps", "1 to 500"),
        ({"strength": 0.5}, "strength", "no effect on this model (StableDiffusionPipeline)"),
        (
            {"task": "image2image", "images": (GIVEN,), "strength": 0.1, "steps": 9},
            "strength",
            "0.1",
        ),
        ({"adapter": "mine"}, "lora_name", "The model has: none"),
        ({"controls": (GIVEN,)}, "control_image", "launched without a ControlNet"),
        ({"task": "video"}, "model", "It does: text2image, image2image, inpainting"),
        ({"task": "image2image"}, "image", "needs a picture"),
        ({"task": "inpainting", "images": (GIVEN,)}, "mask_image", "where to draw"),
        ({"task": "image2image", "images": (Media(b"PK", "image[2]"),)}, "image[2]", "format"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_model_cannot_do_is_refused_before_it_is_begun(
    engine: DiffusersEngine, change: dict[str, Any], param: str, words: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        engine.check(ImageRequest(**{"task": "text2image", "prompt": "a cat", **change}))
    assert refused.value.param == param
    assert words in refused.value.message


def test_pictures_that_would_blow_up_are_refused_before_they_are_decoded(
    engine: DiffusersEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xinfer.model.image.pictures.decode", None)
    bomb = Media(png_file(50_000, 50_000, b""), "image")
    for media in ({"images": (bomb,)}, {"images": (GIVEN,) * 17}, {"mask": bomb}):
        with pytest.raises(PayloadTooLarge):
            engine.check(request("inpainting", **media))


def test_requests_for_other_models_are_refused(engine: DiffusersEngine) -> None:
    with pytest.raises(InvalidRequest, match="draws pictures"):
        engine.check(EncodeRequest(texts=["a"]))  # type: ignore[arg-type]


def test_the_end_of_a_prompt_that_the_model_does_not_see_is_told(engine: DiffusersEngine) -> None:
    for length, cut in ((22, 0), (30, 8)):
        made = products(engine, request(prompt="x" * length))
        assert [one.prompt_cut for one in made if isinstance(one, Picture)] == [cut]


def test_a_closed_engine_ends_what_it_draws(stable_diffusion: Path) -> None:
    with opened(stable_diffusion) as made:

        def report(_: Product) -> None:
            made._closing = True

        with pytest.raises(Cancelled, match="unloaded"):
            made.work(request(steps=50), report)
    with pytest.raises(Cancelled):
        made.check(request())


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"type": "LLM"}, "it runs image models"),
        ({"type": "image", "format": "ggufv2"}, "layout of diffusers"),
        ({"type": "image", "abilities": ("ocr",)}, "it draws, and m is for other things: ocr"),
    ],
)
def test_other_models_are_not_its_own(spec: dict[str, Any], words: str) -> None:
    support = DiffusersEngine.support(ModelSpec(name="m", **spec))
    assert not support.ok
    assert words in support.reason


def test_what_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "xinfer.model.image.diffusers.engine.find_spec", lambda name: name != "diffusers" or None
    )
    support = DiffusersEngine.support(ModelSpec(name="m", type="image", format="diffusers"))
    assert (support.reason, support.extra) == ("diffusers is not installed", "image")
    assert DiffusersEngine.accelerators() is None


def test_memory_is_weights_and_a_share_of_them() -> None:
    spec = ModelSpec(name="m", type="image", size_bytes=4 << 30)
    memory = DiffusersEngine.estimate(spec, DiffusersOptions(cpu_offload=True))
    assert (memory.weights, memory.spills) == (4 << 30, True)
    assert 1 << 30 < memory.overhead < 2 << 30
