"""The bodies of routes that draw pictures: JSON, or forms with files."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, BeforeValidator, Field, PlainValidator
from pydantic_core import PydanticCustomError

from xinfer.api.forms import FormBool, FormFile, FormFloat, FormInt
from xinfer.api.schemas.base import MAX_INT64, Body, Neutral, always, only
from xinfer.errors import InvalidRequest
from xinfer.types.request import ImageRequest, Media

MAX_PICTURES = 10
"""Of each prompt."""
MAX_PROMPTS = 16
MAX_PREVIEWS = 3
"""Of each picture, as OpenAI has it."""
MAX_GIVEN = 16
"""Pictures of a field."""
_MAX_PROMPT = 100_000  # characters
_SIZE = re.compile(r"(\d{1,5}) *[x*×] *(\d{1,5})", re.IGNORECASE)
_OWN_SIZE = ("", "auto", "original")

Given = FormFile | str
"""A picture: a file of a form, a URL, a data URL, or base64."""


def _prompts(value: Any) -> list[str]:
    prompts = [value] if isinstance(value, str) else value
    if (
        not isinstance(prompts, list)
        or not 1 <= len(prompts) <= MAX_PROMPTS
        or not all(isinstance(one, str) and len(one) <= _MAX_PROMPT for one in prompts)
    ):
        raise PydanticCustomError(
            "prompt",
            "should be a text of at most {chars} characters, or a list of at most {most} of them",
            {"chars": _MAX_PROMPT, "most": MAX_PROMPTS},
        )
    return prompts


def _given(value: Any) -> list[Given]:
    """One picture or several, each as such or as an object with its `image_url`."""
    several = value if isinstance(value, list) else [value]
    found: list[Any] = [one.get("image_url") if isinstance(one, dict) else one for one in several]
    found = [one.get("url") if isinstance(one, dict) else one for one in found]
    if not 1 <= len(found) <= MAX_GIVEN or not all(
        isinstance(one, FormFile | str) and one for one in found
    ):
        raise PydanticCustomError(
            "pictures",
            "should be a picture or a list of at most {most}: files of a form, or URLs, data URLs "
            "or base64 as text",
            {"most": MAX_GIVEN},
        )
    return found


def _size(value: Any) -> Any:
    """Width and height; None for that of the model, or of a given picture."""
    if value is None or (isinstance(value, str) and value.strip().lower() in _OWN_SIZE):
        return None
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not all(map(int, match.groups())):
        raise PydanticCustomError(
            "size", 'should be like "1024x1024" or "1024*1024": width and height in pixels'
        )
    return int(match[1]), int(match[2])


def _empty_as_none(value: Any) -> Any:
    return None if value == "" else value


Prompts = Annotated[list[str], PlainValidator(_prompts, json_schema_input_type=str | list[str])]
Pictures = Annotated[
    list[Given], PlainValidator(_given, json_schema_input_type=Given | list[Given])
]
Size = Annotated[tuple[int, int] | None, PlainValidator(_size, json_schema_input_type=str | None)]
_OrNone = BeforeValidator(_empty_as_none)  # forms cannot leave a field out but empty


class ImageBody(Body):
    """What all routes that draw take."""

    model: str | None = Field(
        None, max_length=200, description="Uid of a running model that draws."
    )
    prompt: Prompts = [""]
    negative_prompt: Annotated[str | None, _OrNone] = Field(
        None, max_length=_MAX_PROMPT, description="What is not to be seen."
    )
    n: Annotated[FormInt | None, _OrNone] = Field(
        None, ge=1, le=MAX_PICTURES, description="Pictures of each prompt; 1 by default."
    )
    size: Size = Field(
        None,
        description="Width and height in pixels, as 512x512 or 512*512; that of the given picture, "
        "or the model's own, by default.",
    )
    response_format: Annotated[Literal["url", "b64_json"] | None, _OrNone] = Field(
        None, description="b64_json has the pictures in the answer; url, the default, tells where."
    )
    seed: Annotated[FormInt | None, _OrNone] = Field(
        None,
        ge=-1,
        le=MAX_INT64,
        description="Of the first picture; each further one has the next. -1: a random one.",
    )
    num_inference_steps: Annotated[FormInt | None, _OrNone] = Field(
        None, ge=1, le=500, validation_alias=AliasChoices("num_inference_steps", "steps")
    )
    guidance_scale: Annotated[FormFloat | None, _OrNone] = Field(
        None,
        ge=0,
        le=100,
        validation_alias=AliasChoices("guidance_scale", "cfg_scale"),
        description="How strongly the prompt bears on the pictures.",
    )
    strength: Annotated[FormFloat | None, _OrNone] = Field(
        None,
        ge=0,
        le=1,
        validation_alias=AliasChoices("strength", "denoising_strength"),
        description="How far a picture may be from the given one.",
    )
    sampler_name: Annotated[str | None, _OrNone] = Field(
        None,
        max_length=100,
        validation_alias=AliasChoices("sampler_name", "scheduler"),
        description="euler, dpm++_2m_karras, …: as the model has them.",
    )
    lora_name: Annotated[str | None, _OrNone] = Field(
        None, max_length=200, description="The only LoRA adapter to apply; all by default."
    )
    control_image: Pictures | None = Field(
        None, description="A picture for each ControlNet that the model was launched with."
    )
    controlnet_conditioning_scale: Annotated[FormFloat | None, _OrNone] = Field(None, ge=0, le=10)
    request_id: Annotated[str | None, _OrNone] = Field(
        None, description="Handle for progress and abort; wins over the X-Request-Id header."
    )
    user: str | None = None
    quality: str | None = None
    style: str | None = None
    background: str | None = None
    moderation: str | None = None
    output_format: str | None = None
    output_compression: FormInt | None = None
    input_fidelity: str | None = None
    partial_images: Annotated[FormInt | None, _OrNone] = Field(
        None,
        ge=0,
        le=MAX_PREVIEWS,
        description="With stream: how often each picture is shown while it is drawn.",
    )
    stream: FormBool | None = Field(
        None, description="The pictures in OpenAI's events, each as soon as it is there."
    )

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        "quality": only("auto", "standard", "medium", ""),
        "style": only("vivid", ""),
        "background": only("auto", "opaque", ""),
        "moderation": always,
        "output_format": only("png", ""),
        "output_compression": only(100),
        "input_fidelity": only("low", ""),
    }

    def check_supported(self) -> None:
        super().check_supported()
        if not self.stream:
            if self.partial_images:
                raise InvalidRequest(
                    "`partial_images` needs `stream`: they come before the picture that they "
                    "become.",
                    param="partial_images",
                )
            return
        if len(self.prompt) > 1:
            raise InvalidRequest(
                f"`stream`: there are {len(self.prompt)} prompts; a stream is of one.",
                param="prompt",
            )
        if self.response_format == "url":
            raise InvalidRequest(
                "`stream`: the pictures are in its events. Ask for response_format b64_json, or "
                "leave it out.",
                param="response_format",
            )

    def take_given(self) -> dict[str, list[Given]]:
        """The pictures of the request by field; the body has them no more, which is there until the
        request is answered."""
        given, self.control_image = self.control_image, None
        return {"control_image": given} if given else {}

    def requests(self, task: str, media: Mapping[str, tuple[Media, ...]]) -> list[ImageRequest]:
        """One for each prompt.

        Args:
            task: text2image, image2image or inpainting.
            media: the bytes of what was given.
        """
        width, height = self.size or (None, None)
        mask = next(iter(media.get("mask", ())), None)
        return [
            ImageRequest(
                task=task,
                prompt=prompt,
                negative_prompt=self.negative_prompt,
                n=1 if self.n is None else self.n,
                width=width,
                height=height,
                images=media.get("image", ()),
                mask=mask,
                controls=media.get("control_image", ()),
                control_scale=self.controlnet_conditioning_scale,
                steps=self.num_inference_steps,
                guidance=self.guidance_scale,
                strength=self.strength,
                seed=None if self.seed == -1 else self.seed,
                scheduler=self.sampler_name,
                adapter=self.lora_name,
                previews=self.partial_images or 0,
            )
            for prompt in self.prompt
        ]


class GenerationsBody(ImageBody):
    """Pictures of a text."""

    model: str = Field(min_length=1, max_length=200, description="Uid of a running model.")
    prompt: Prompts


class EditsBody(ImageBody):
    """Pictures made out of given ones, or, with a mask, out of a part of one."""

    prompt: Prompts
    image: Pictures = Field(
        validation_alias=AliasChoices("image", "image[]", "images", "images[]"),
        description="The picture or pictures to draw after.",
    )
    mask: Pictures | None = Field(
        None, description="Where to draw: what is transparent in it, or else what is white."
    )

    def take_given(self) -> dict[str, list[Given]]:
        mask = {"mask": _single(self.mask, "mask")} if self.mask else {}
        given = {**super().take_given(), "image": self.image, **mask}
        self.image, self.mask = [], None
        return given


class _Whole(ImageBody):
    """What has no stream in OpenAI's API."""

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        **ImageBody.unsupported,
        "partial_images": only(0),
        "stream": only(False),
    }


class VariationsBody(_Whole):
    """Pictures made out of given ones."""

    image: Pictures = Field(validation_alias=AliasChoices("image", "image[]"))

    def take_given(self) -> dict[str, list[Given]]:
        given = {**super().take_given(), "image": self.image}
        self.image = []
        return given


class InpaintingBody(_Whole):
    """Pictures of which a part is drawn anew."""

    model: str = Field(min_length=1, max_length=200, description="Uid of a running model.")
    image: Pictures
    mask_image: Pictures = Field(
        description="Where to draw: what is transparent in it, or else what is white."
    )

    def take_given(self) -> dict[str, list[Given]]:
        given = {
            **super().take_given(),
            "image": _single(self.image, "image"),
            "mask": _single(self.mask_image, "mask_image"),
        }
        self.image = self.mask_image = []
        return given


def _single(given: list[Given], field: str) -> list[Given]:
    if len(given) > 1:
        raise InvalidRequest(f"`{field}`: there are {len(given)}; expected one.", param=field)
    return given
