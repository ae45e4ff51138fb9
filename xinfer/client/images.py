"""Talking to models that draw: the calls, and the handles of both clients."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xinfer.client.wire import JSON, Call

if TYPE_CHECKING:
    from xinfer.client.async_client import AsyncClient
    from xinfer.client.sync_client import Client

Picture = bytes | str
"""The bytes of a file, or a URL or data URL."""


def _text_to_image(
    model_uid: str,
    prompt: str | Sequence[str],
    n: int,
    size: str | None,
    response_format: str,
    parameters: Mapping[str, Any],
) -> Call[JSON]:
    optional = {"size": size} if size is not None else {}
    return Call(
        "create the images",
        "POST",
        "/v1/images/generations",
        body={
            "model": model_uid,
            "prompt": prompt,
            "n": n,
            "response_format": response_format,
            **optional,
            **parameters,
        },
        result=dict,
    )


def _draw_after(
    doing: str,
    route: str,
    model_uid: str,
    pictures: Mapping[str, Picture | Sequence[Picture] | None],
    prompt: str,
    negative_prompt: str | None,
    n: int,
    size: str | None,
    response_format: str,
    parameters: Mapping[str, Any],
) -> Call[JSON]:
    """A form with pictures; each as a file, or as text where it is a URL."""
    fields = {
        "model": model_uid,
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "n": n,
        "size": size,
        "response_format": response_format,
        "kwargs": json.dumps(parameters) if parameters else None,
    }
    form: list[tuple[str, bytes | str]] = [
        (name, str(value)) for name, value in fields.items() if value is not None
    ]
    for name, given in pictures.items():
        several = [given] if isinstance(given, bytes | str) else given or ()
        form += ((name, one) for one in several)
    return Call(doing, "POST", f"/v1/images/{route}", form=form, result=dict)


class ImageModelHandle:
    """Talks to one model that draws.

    Answers are OpenAI's lists of images, each with the seed that it can be drawn again with. Given
    pictures are the bytes of files, or URLs. `kwargs` go into the request: `negative_prompt`,
    `seed`, `num_inference_steps`, `guidance_scale`, `strength`, `sampler_name`, `request_id`, …
    """

    def __init__(self, model_uid: str, client: Client) -> None:
        self.model_uid = model_uid
        self._client = client

    def text_to_image(
        self,
        prompt: str | Sequence[str],
        n: int = 1,
        size: str | None = None,
        response_format: str = "url",
        **kwargs: Any,
    ) -> JSON:
        """Draw what a text says, `n` times; in the model's own size, or one like 512*512."""
        return self._client.send(
            _text_to_image(self.model_uid, prompt, n, size, response_format, kwargs)
        )

    def image_to_image(
        self,
        image: Picture | Sequence[Picture],
        prompt: str,
        negative_prompt: str | None = None,
        n: int = 1,
        size: str | None = None,
        response_format: str = "url",
        **kwargs: Any,
    ) -> JSON:
        """Draw after one or several pictures."""
        return self._draw_after(
            "variations",
            {"image": image},
            prompt,
            negative_prompt,
            n,
            size,
            response_format,
            kwargs,
        )

    def image_edit(
        self,
        images: Picture | Sequence[Picture],
        prompt: str,
        mask: Picture | None = None,
        n: int = 1,
        size: str | None = None,
        response_format: str = "url",
        **kwargs: Any,
    ) -> JSON:
        """Draw after pictures, or, with a mask, a part of one anew."""
        pictures = {"image": images, "mask": mask}
        return self._draw_after("edits", pictures, prompt, None, n, size, response_format, kwargs)

    def inpainting(
        self,
        image: Picture,
        mask_image: Picture,
        prompt: str,
        negative_prompt: str | None = None,
        n: int = 1,
        size: str | None = None,
        response_format: str = "url",
        **kwargs: Any,
    ) -> JSON:
        """Draw that part of a picture anew which is white in the mask, or transparent."""
        pictures = {"image": image, "mask_image": mask_image}
        return self._draw_after(
            "inpainting", pictures, prompt, negative_prompt, n, size, response_format, kwargs
        )

    def _draw_after(self, route: str, pictures: Any, *more: Any) -> JSON:
        call = _draw_after("draw after images", route, self.model_uid, pictures, *more)
        return self._client.send(call)


class AsyncImageModelHandle:
    """Talks to one model that draws.

    Answers are OpenAI's lists of images, each with the seed that it can be drawn again with. Given
    pictures are the bytes of files, or URLs. `kwargs` go into the request: `negative_prompt`,
    `seed`, `num_inference_steps`, `guidance_scale`, `strength`, `sampler_name`, `request_id`, …
    """

    def __init__(self, model_uid: str, client: AsyncClient) -> None:
        self.model_uid = model_uid
        self._client = client

    async def text_to_image(
        self,
        prompt: str | Sequence[str],
        n: int = 1,
        size: str | None = None,
        response_format: str = "url",
        **kwargs: Any,
    ) -> JSON:
        """Draw what a text says, `n` times; in the model's own size, or one like 512*512."""
        return await self._client.send(
            _text_to_image(self.model_uid, prompt, n, size, response_format, kwargs)
        )

    async def image_to_image(
        self,
        image: Picture | Sequence[Picture],
        prompt: str,
        negative_prompt: str | None = None,
        n: int = 1,
        size: str | None = None,
        response_format: str = "url",
        **kwargs: Any,
    ) -> JSON:
        """Draw after one or several pictures."""
        return await self._draw_after(
            "variations",
            {"image": image},
            prompt,
            negative_prompt,
            n,
            size,
            response_format,
            kwargs,
        )

    async def image_edit(
        self,
        images: Picture | Sequence[Picture],
        prompt: str,
        mask: Picture | None = None,
        n: int = 1,
        size: str | None = None,
        response_format: str = "url",
        **kwargs: Any,
    ) -> JSON:
        """Draw after pictures, or, with a mask, a part of one anew."""
        pictures = {"image": images, "mask": mask}
        return await self._draw_after(
            "edits", pictures, prompt, None, n, size, response_format, kwargs
        )

    async def inpainting(
        self,
        image: Picture,
        mask_image: Picture,
        prompt: str,
        negative_prompt: str | None = None,
        n: int = 1,
        size: str | None = None,
        response_format: str = "url",
        **kwargs: Any,
    ) -> JSON:
        """Draw that part of a picture anew which is white in the mask, or transparent."""
        pictures = {"image": image, "mask_image": mask_image}
        return await self._draw_after(
            "inpainting", pictures, prompt, negative_prompt, n, size, response_format, kwargs
        )

    async def _draw_after(self, route: str, pictures: Any, *more: Any) -> JSON:
        call = _draw_after("draw after images", route, self.model_uid, pictures, *more)
        return await self._client.send(call)
