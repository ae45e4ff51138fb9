"""A diffusion pipeline: a directory with a folder for each of its parts."""

from __future__ import annotations

from xinfer.model.inspect.json_files import Listing, strings
from xinfer.model.inspect.kind import IMAGE, VIDEO
from xinfer.model.inspect.weights import Weights, find_weights

INDEX = "model_index.json"

_ALL = ("text2image", "image2image", "inpainting")
_EVERYTHING = ("StableDiffusion", "Flux", "Kolors", "QwenImagePipeline", "ZImage", "HunyuanDiT")
"""Families whose parts serve for all three, whichever pipeline the file names."""
_MOVES = (
    *("Video", "CogVideoX", "Wan", "LTX", "Mochi", "AnimateDiff", "Allegro", "SkyReels"),
    *("TextToVideo", "StableVideo", "I2VGen", "Cosmos"),
)
_DRAWS_FROM_IMAGES = ("Img2Img", "ImageToImage", "Kontext", "Edit", "Pix2Pix", "Upscale")


def pipeline_class(files: Listing) -> str:
    """
    Raises:
        InvalidRequest: model_index.json is damaged, or names none.
    """
    name = files.json(INDEX).get("_class_name")
    names = strings(name)
    if not names:
        raise files.refusal(INDEX, "it names no pipeline (_class_name)")
    return names[0]


def pipeline_type(name: str) -> str:
    return VIDEO if any(word in name for word in _MOVES) else IMAGE


def pipeline_abilities(name: str) -> tuple[str, ...]:
    """What a pipeline of this class can do."""
    if pipeline_type(name) == VIDEO:
        image = "ImageToVideo" in name or "I2V" in name or "StableVideo" in name
        return ("image2video",) if image else ("text2video",)
    if any(word in name for word in _DRAWS_FROM_IMAGES):
        return ("image2image",)
    if "Inpaint" in name or "Fill" in name:
        return ("inpainting",)
    return _ALL if name.startswith(_EVERYTHING) else ("text2image",)


def pipeline_weights(files: Listing) -> list[Weights]:
    """The weights of each part that has some.

    Raises:
        InvalidRequest: those of a part are not there, or damaged.
    """
    parts = [
        name
        for name, value in files.json(INDEX).items()
        if isinstance(value, list) and len(value) == 2 and isinstance(value[1], str)
    ]
    weights = [
        find_weights(files, folder=f"{part}/")
        for part in parts
        if f"{part}/config.json" in files and not _bare(files, part)
    ]
    if not weights:
        raise files.refusal(INDEX, "none of the parts that it names has weights here")
    return weights


def _bare(files: Listing, part: str) -> bool:
    """Whether a part has a configuration and needs no weights, as an image processor."""
    config = files.json(f"{part}/config.json")
    return "_class_name" not in config and "architectures" not in config
