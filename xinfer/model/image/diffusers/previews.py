"""How pictures look while they are drawn: the latents of a step, decoded."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL.Image import Image


def why_none(pipeline: Any) -> str:
    """Why it cannot show pictures while it draws them; empty where it can."""
    if getattr(pipeline, "safety_checker", None) is not None:
        return (
            "its safety checker judges pictures only when they are done. Launch it with "
            "safety_checker false"
        )
    taken = inspect.signature(type(pipeline).__call__).parameters
    vae = getattr(pipeline, "vae", None)
    packed = hasattr(pipeline, "_unpack_latents")
    if (
        "callback_on_step_end" not in taken
        or "latents" not in getattr(pipeline, "_callback_tensor_inputs", ())
        or type(vae).__name__ != "AutoencoderKL"
        or (packed and not type(pipeline).__name__.startswith("Flux"))
    ):
        return f"how {type(pipeline).__name__} draws is not known here"
    return ""


def preview_steps(steps: int, count: int) -> dict[int, int]:
    """After which of so many steps to show a picture, and which of its previews that is: as many
    as are asked for, evenly apart, or fewer; none after the last step."""
    after = {number * steps // (count + 1) for number in range(1, count + 1)}
    return {step: number for number, step in enumerate(sorted(after - {0, steps}))}


def decode(pipeline: Any, latents: Any, size: tuple[int, int] | None) -> list[Image]:
    """What pictures the latents of a step are.

    Args:
        size: width and height, as the pipeline was asked for; None: its own.
    """
    import torch

    vae = pipeline.vae
    if hasattr(pipeline, "_unpack_latents"):
        side = pipeline.default_sample_size * pipeline.vae_scale_factor
        width, height = size or (side, side)
        latents = pipeline._unpack_latents(latents, height, width, pipeline.vae_scale_factor)
    mean, deviation = (
        getattr(vae.config, "latents_mean", None),
        getattr(vae.config, "latents_std", None),
    )
    if mean is not None and deviation is not None:
        latents = latents * _by_channel(deviation, latents) / vae.config.scaling_factor
        latents = latents + _by_channel(mean, latents)
    else:
        shift = getattr(vae.config, "shift_factor", None) or 0.0
        latents = latents / vae.config.scaling_factor + shift
    own = vae.dtype
    # In half precision some of them overflow; pipelines see to that themselves at their end.
    upcast = own == torch.float16 and bool(vae.config.force_upcast)
    if upcast:
        vae.to(torch.float32)
    try:
        decoded = vae.decode(latents.to(vae.dtype), return_dict=False)[0]
    finally:
        if upcast:
            vae.to(own)
    images: list[Image] = pipeline.image_processor.postprocess(decoded, output_type="pil")
    return images


def _by_channel(values: Any, latents: Any) -> Any:
    return latents.new_tensor(values).view(1, -1, 1, 1)
