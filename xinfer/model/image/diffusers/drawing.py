"""The pictures of one request: in batches that memory suffices for, each with a seed of its own."""

from __future__ import annotations

import gc
import inspect
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from xinfer.errors import InvalidRequest, Unavailable
from xinfer.model.image import pictures
from xinfer.model.image.diffusers.previews import decode, preview_steps
from xinfer.model.torch_device import memory_errors
from xinfer.model.work_engine import Report
from xinfer.types.product import Advance, Picture, Preview

if TYPE_CHECKING:
    from PIL.Image import Image

_SEEDS = 2**63
_MEMORY = (
    "to draw this picture. Ask for a smaller one, or launch the model with cpu_offload or "
    "vae_tiling, or on another device."
)


class Drawing:
    """Draws `count` pictures with one pipeline.

    Args:
        arguments: of the pipeline, but for seeds and numbers.
        seed: of the first one, each further one has the next; None for a random one.
        at_once: how many are drawn together at most.
        prompt_cut: tokens of the prompt that the model does not see.
        previews: how often each picture is shown before it is done, at most.
        enlarge: width and height of what is reported; None: as it is drawn.
        around: a given picture and its mask, outside of which it stays as it was; in any size.
    """

    def __init__(
        self,
        pipeline: Any,
        arguments: dict[str, Any],
        *,
        count: int,
        seed: int | None,
        at_once: int,
        prompt_cut: int,
        previews: int = 0,
        enlarge: tuple[int, int] | None = None,
        around: tuple[Image, Image] | None = None,
        report: Report,
    ) -> None:
        self._pipeline = pipeline
        self._arguments = arguments
        self._count = count
        self._seed = secrets.randbelow(2**32) if seed is None else seed
        self._at_once = at_once
        self._prompt_cut = prompt_cut
        self._previews = previews
        self._enlarge = enlarge
        self._around = around
        self._report = report
        self._done = 0

    def run(self) -> None:
        """
        Raises:
            Cancelled: nothing more is wanted.
            Unavailable: memory does not suffice for a single one.
            InvalidRequest: the model's own judge held one back.
        """
        at_once = min(self._at_once, self._count)
        while self._done < self._count:
            number = min(at_once, self._count - self._done)
            try:
                images = self._batch(number)
            except Unavailable:
                if number == 1:
                    raise
                at_once = number // 2
                _release_memory()
                continue
            for image in images:
                seed = (self._seed + self._done) % _SEEDS
                data = self._encoded(image)
                self._report(Picture(self._done, data, seed, prompt_cut=self._prompt_cut))
                self._done += 1

    def _batch(self, number: int) -> list[Image]:
        import torch

        seeds = range(self._seed + self._done, self._seed + self._done + number)
        # On processors wherever it is computed, so that a seed draws the same everywhere.
        random = [torch.Generator("cpu").manual_seed(seed % _SEEDS) for seed in seeds]
        arguments = {**self._arguments, "generator": random, "output_type": "pil"}
        if number > 1:
            arguments["num_images_per_prompt"] = number
        with torch.inference_mode(), memory_errors(_MEMORY), self._watched(number) as watching:
            made = self._pipeline(**arguments, **watching)
        if any(getattr(made, "nsfw_content_detected", None) or ()):
            raise InvalidRequest(
                "The model's own safety checker has held back what was drawn. Word the prompt "
                "otherwise, or try another seed.",
                code="content_filtered",
                param="prompt",
            )
        return list(made.images)

    @contextmanager
    def _watched(self, number: int) -> Iterator[dict[str, Any]]:
        """Arguments by which the pipeline tells of its steps; of one that does not, the part that
        computes a step does."""
        taken = inspect.signature(type(self._pipeline).__call__).parameters
        self._report(Advance(self._done, self._count))
        if "callback_on_step_end" in taken:
            yield {"callback_on_step_end": self._on_step(number)}
            return
        part = getattr(self._pipeline, "transformer", None) or getattr(self._pipeline, "unet", None)
        if part is None:
            yield {}
            return
        hook = part.register_forward_pre_hook(
            lambda *_: self._report(Advance(self._done, self._count))
        )
        try:
            yield {}
        finally:
            hook.remove()

    def _on_step(self, number: int) -> Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]:
        def told(pipeline: Any, step: int, _: Any, values: dict[str, Any]) -> dict[str, Any]:
            steps = max(1, getattr(pipeline, "num_timesteps", 0) or step + 1)
            done = self._done + number * min(1.0, (step + 1) / steps)
            self._report(Advance(done, self._count))
            preview = preview_steps(steps, self._previews).get(step + 1)
            if preview is not None:
                self._show(preview, values["latents"])
            return values

        return told

    def _show(self, preview: int, latents: Any) -> None:
        asked = self._arguments
        size = (asked["width"], asked["height"]) if "width" in asked else None
        for place, image in enumerate(decode(self._pipeline, latents, size)):
            self._report(Preview(self._done + place, preview, self._encoded(image)))

    def _encoded(self, image: Image) -> bytes:
        if self._enlarge:
            image = image.resize(self._enlarge)
        if self._around:
            image = pictures.within_mask(image, *self._around)
        return pictures.encode(image)


def _release_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
