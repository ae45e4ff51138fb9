"""From a request to the arguments of a pipeline: checked first, then made."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from xinfer.errors import InvalidRequest, PayloadTooLarge
from xinfer.model.image import pictures
from xinfer.model.image.diffusers.options import MAX_STEPS, DiffusersOptions
from xinfer.model.image.diffusers.pipelines import TASKS, Pipelines
from xinfer.model.image.diffusers.previews import why_none
from xinfer.model.image.diffusers.schedulers import find_name
from xinfer.types.request import ImageRequest

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PICTURES = 16
"""Given ones, of one request."""


def check(request: ImageRequest, pipelines: Pipelines, options: DiffusersOptions) -> None:
    """Refuse what this model cannot do.

    Raises:
        InvalidRequest, PayloadTooLarge: names the field.
    """
    pipeline = pipeline_for(request, pipelines)
    _check_media(request, pipelines)
    _check_size(request, pipelines, options)
    taken = _parameters(pipeline)
    for field, value in (
        ("negative_prompt", request.negative_prompt),
        ("guidance_scale", request.guidance),
        ("strength", request.strength),
    ):
        if value is not None and not _argument(field, taken):
            raise _not_taken(field, pipeline)
    if request.steps is not None and not 1 <= request.steps <= MAX_STEPS:
        raise InvalidRequest(
            f"num_inference_steps is {request.steps}; expected 1 to {MAX_STEPS}.",
            param="num_inference_steps",
        )
    _check_strength(request, taken, options, pipelines.defaults)
    reason = why_none(pipeline) if request.previews else ""
    if reason:
        raise InvalidRequest(
            f"This model shows no pictures while it draws them: {reason}. Ask for partial_images "
            "0, which gives them when they are done.",
            code="unsupported_parameter",
            param="partial_images",
        )
    if request.scheduler is not None:
        find_name(request.scheduler, pipelines.scheduler_names, "sampler_name")
    if request.adapter is not None and request.adapter not in options.lora:
        there = ", ".join(options.lora) or "none"
        raise InvalidRequest(
            f"There is no LoRA adapter {request.adapter!r}. The model has: {there}.",
            param="lora_name",
        )


def pipeline_for(request: ImageRequest, pipelines: Pipelines) -> Any:
    """The pipeline that does this.

    Raises:
        InvalidRequest: the model has none.
    """
    ways = pipelines.controlled if request.controls else pipelines.plain
    if request.controls and not ways:
        raise InvalidRequest(
            "The model was launched without a ControlNet, and takes no control_image. Launch it "
            "with the option controlnet.",
            code="unsupported_parameter",
            param="control_image",
        )
    if request.task not in ways:
        what = " with a ControlNet" if request.controls else ""
        raise InvalidRequest(
            f"This model does not do {request.task}{what}. It does: "
            f"{', '.join(task for task in TASKS if task in ways)}.",
            param="model",
        )
    return ways[request.task]


def _check_media(request: ImageRequest, pipelines: Pipelines) -> None:
    given = (*request.images, *request.controls, *([request.mask] if request.mask else ()))
    if len(given) > MAX_PICTURES:
        raise PayloadTooLarge(
            f"The request has {len(given)} pictures; at most {MAX_PICTURES} are accepted.",
            param="image",
        )
    for medium in given:
        pictures.check(medium)
    if request.task != "text2image" and not request.images:
        raise InvalidRequest(f"{request.task} needs a picture; there is none.", param="image")
    if request.task == "inpainting" and request.mask is None:
        raise InvalidRequest(
            "inpainting needs a picture that says where to draw; there is none.", param="mask_image"
        )
    if request.controls and len(request.controls) != pipelines.controls:
        raise InvalidRequest(
            f"The request has {len(request.controls)} pictures for {pipelines.controls} "
            "ControlNets; expected one for each.",
            param="control_image",
        )


def _check_size(request: ImageRequest, pipelines: Pipelines, options: DiffusersOptions) -> None:
    if request.width is None or request.height is None:
        return
    if request.width * request.height > options.max_pixels:
        raise InvalidRequest(
            f"size is {request.width}x{request.height}; at most {options.max_pixels} pixels in "
            "all are drawn. The model can be launched with a larger max_pixels.",
            param="size",
        )
    step = pipelines.size_step
    if request.width % step or request.height % step:
        raise InvalidRequest(
            f"size is {request.width}x{request.height}; this model draws in multiples of {step} "
            "pixels.",
            param="size",
        )


def _check_strength(
    request: ImageRequest,
    taken: Mapping[str, inspect.Parameter],
    options: DiffusersOptions,
    defaults: Mapping[str, float],
) -> None:
    """Of a given picture's steps only this share is drawn; pipelines fail where that is none."""
    if "strength" not in taken or "num_inference_steps" not in taken:
        return
    strength, steps = (
        next(value for value in values if value is not None)
        for values in (
            (
                request.strength,
                options.strength,
                defaults.get("strength"),
                taken["strength"].default,
            ),
            (
                request.steps,
                options.steps,
                defaults.get("num_inference_steps"),
                taken["num_inference_steps"].default,
            ),
        )
    )
    if steps * strength < 1:
        raise InvalidRequest(
            f"strength is {strength:g}, and that share of {steps} steps is less than one. Ask for "
            "more of either.",
            param="strength",
        )


class Sizes(NamedTuple):
    """Width and height; None: as the pipeline has it."""

    drawn: tuple[int, int] | None
    wanted: tuple[int, int] | None
    """What is drawn is enlarged to it."""


def sizes(request: ImageRequest, pipelines: Pipelines, options: DiffusersOptions) -> Sizes:
    """As asked for, or as a given picture has it, and within what the model draws well.

    Raises:
        InvalidRequest: a picture is damaged.
    """
    wanted = _wanted_size(request, pipelines, options)
    native = pipelines.native_pixels
    if wanted is None or native is None:
        return Sizes(wanted, wanted)
    return Sizes(_within(native, wanted, pipelines.size_step), wanted)


def arguments(
    request: ImageRequest,
    pipeline: Any,
    pipelines: Pipelines,
    options: DiffusersOptions,
    size: tuple[int, int] | None,
) -> dict[str, Any]:
    """All but what changes from batch to batch, for pictures that are drawn in this size. Decodes
    those that are given.

    Raises:
        InvalidRequest: a picture is damaged.
    """
    taken = _parameters(pipeline)
    made: dict[str, Any] = {"prompt": request.prompt}
    wanted = (
        ("negative_prompt", request.negative_prompt, options.negative_prompt),
        ("guidance_scale", request.guidance, options.guidance),
        ("strength", request.strength, options.strength),
        ("num_inference_steps", request.steps, options.steps),
    )
    for field, asked, default in wanted:
        value = default if asked is None else asked
        value = pipelines.defaults.get(field) if value is None else value
        name = _argument(field, taken)
        if value is not None and name:
            made[name] = value
    if request.control_scale is not None and "controlnet_conditioning_scale" in taken:
        made["controlnet_conditioning_scale"] = request.control_scale
    made |= _given(request, taken, size, pipelines)
    if size is not None:
        made |= {
            name: side
            for name, side in zip(("width", "height"), size, strict=True)
            if name in taken
        }
    return made


def _wanted_size(
    request: ImageRequest, pipelines: Pipelines, options: DiffusersOptions
) -> tuple[int, int] | None:
    if request.width is not None and request.height is not None:
        return request.width, request.height
    first = next(iter((*request.images, *request.controls)), None)
    if first is None:
        return None
    return _within(options.max_pixels, pictures.decode(first).size, pipelines.size_step)


def _within(pixels: int, size: tuple[int, int], step: int) -> tuple[int, int]:
    """In the same proportions, so many pixels at most, and sides of multiples of `step`."""
    width, height = size
    shrink = min(1.0, (pixels / (width * height)) ** 0.5)
    return (
        max(step, int(width * shrink) // step * step),
        max(step, int(height * shrink) // step * step),
    )


def _given(
    request: ImageRequest,
    taken: Collection[str],
    size: tuple[int, int] | None,
    pipelines: Pipelines,
) -> dict[str, Any]:
    """The pictures of the request, in the size that is drawn."""
    images = [_fitted(pictures.decode(one), size) for one in request.images]
    controls = [_fitted(pictures.decode(one), size) for one in request.controls]
    made: dict[str, Any] = {}
    if controls:
        several: Any = controls if pipelines.controls > 1 else controls[0]
        made["control_image" if "control_image" in taken else "image"] = several
    if images:
        made["image"] = images if len(images) > 1 else images[0]
    if request.mask is not None:
        made["mask_image"] = _fitted(pictures.decode_mask(request.mask), size)
    return made


def _fitted(image: Image, size: tuple[int, int] | None) -> Image:
    return image if size is None or image.size == size else image.resize(size)


def _parameters(pipeline: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(type(pipeline).__call__).parameters


def _argument(field: str, taken: Mapping[str, inspect.Parameter]) -> str:
    """The pipeline's name for a field; empty where it has no use for it."""
    true_guidance = taken.get("true_cfg_scale")
    if true_guidance is not None:
        # Where it is on by default it is the guidance that is meant; elsewhere guidance is an input
        # of the model, and nothing leads away from a negative prompt.
        if field == "guidance_scale" and true_guidance.default > 1:
            return "true_cfg_scale"
        if field == "negative_prompt" and true_guidance.default <= 1:
            return ""
    return field if field in taken else ""


def _not_taken(field: str, pipeline: Any) -> InvalidRequest:
    return InvalidRequest(
        f"`{field}` has no effect on this model ({type(pipeline).__name__}). Leave it out.",
        code="unsupported_parameter",
        param=field,
    )
