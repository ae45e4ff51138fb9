"""The diffusers engine: any diffusion pipeline, for all the tasks that its parts serve."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from xinfer.errors import Cancelled, InvalidRequest
from xinfer.model.engine import EngineOptions, Support
from xinfer.model.image import pictures
from xinfer.model.image.diffusers.arguments import arguments, check, pipeline_for, sizes
from xinfer.model.image.diffusers.drawing import Drawing
from xinfer.model.image.diffusers.options import DiffusersOptions
from xinfer.model.image.diffusers.pipelines import TASKS, Pipelines
from xinfer.model.image.diffusers.schedulers import find_name, make_scheduler
from xinfer.model.torch_build import torch_accelerators
from xinfer.model.torch_device import choose_device, memory_errors
from xinfer.model.work_engine import EngineBroken, Report
from xinfer.types.event import Usage
from xinfer.types.model import Abilities, EngineStats, Loaded, Memory, ModelSpec, Progress
from xinfer.types.product import Product
from xinfer.types.request import ImageRequest, WorkRequest

PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "PIL")
_BUFFERS = 256 << 20
"""Bytes beside the weights, of a small model; of large ones a share of these."""


class DiffusersEngine:
    """Draws the pictures of one request at a time."""

    def __init__(self, spec: ModelSpec, options: DiffusersOptions) -> None:
        self._spec = spec
        self._options = options
        self._pipelines: Pipelines | None = None
        self._device = "cpu"
        self._computing = threading.Lock()
        self._closing = False
        self._running = 0

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if spec.type != "image":
            return Support(False, f"it runs image models, not models of type {spec.type}")
        if spec.format not in ("", "diffusers", "pytorch"):
            return Support(False, "it runs models in the layout of diffusers only")
        if spec.abilities and not set(spec.abilities) & set(TASKS):
            return Support(
                False, f"it draws, and {spec.name} is for other things: {', '.join(spec.abilities)}"
            )
        missing = [package for package in PACKAGES if find_spec(package) is None]
        if missing:
            return Support(False, f"{', '.join(missing)} is not installed", "image")
        return Support(True)

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return DiffusersOptions

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        if any(find_spec(package) is None for package in PACKAGES):
            return None
        return torch_accelerators()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: DiffusersOptions) -> Memory:
        weights = spec.size_bytes or int((spec.size_in_billions or 0) * 2e9)
        if options.dtype == "float32":
            weights *= 2  # files are in half of that, with few exceptions
        overhead = _BUFFERS + weights // 4
        return Memory(
            weights=weights,
            overhead=overhead,
            accelerator_overhead=overhead,
            spills=bool(options.cpu_offload),
            processors_only=options.device == "cpu",
        )

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        import torch

        options = self._options
        torch.set_num_threads(options.threads)
        device = self._device = choose_device(options.device)
        dtype = _dtype(options, device)
        progress(Progress(0.1, "loading"))
        with memory_errors(f"for {self._spec.path}. Launch the model on another device."):
            pipelines = Pipelines(self._spec, options, device, dtype)
        if options.scheduler is not None:
            find_name(options.scheduler, pipelines.scheduler_names)
        progress(Progress(1.0, "loading"))
        self._pipelines = pipelines
        tasks = frozenset(pipelines.plain)
        return Loaded(
            context_length=0,
            concurrency=1,
            abilities=Abilities(cancel="step", tasks=tasks, adapters=frozenset(options.lora)),
            backend=device,
            details={
                "dtype": str(dtype).removeprefix("torch."),
                "pipeline": type(pipelines.own).__name__,
                "size": pipelines.default_size,
                "schedulers": pipelines.scheduler_names,
                "controlnets": pipelines.controls,
            },
        )

    def close(self) -> None:
        """Release the model; blocks until the step that is computed has ended."""
        self._closing = True
        with self._computing:
            self._pipelines = None

    def stats(self) -> EngineStats:
        return EngineStats(running=self._running)

    def check(self, request: WorkRequest) -> None:
        if not isinstance(request, ImageRequest):
            raise InvalidRequest(
                "This model draws pictures; the request is for a model of another type.",
                param="model",
            )
        check(request, self._open(), self._options)

    def work(self, request: WorkRequest, report: Report) -> Usage:
        assert isinstance(request, ImageRequest)
        with self._computing:
            self._running = 1
            try:
                return self._draw(request, report)
            finally:
                self._running = 0

    def _draw(self, request: ImageRequest, report: Report) -> Usage:
        pipelines, options = self._open(), self._options
        pipeline = pipeline_for(request, pipelines)
        size = sizes(request, pipelines, options)
        made = arguments(request, pipeline, pipelines, options, size.drawn)
        pipelines.use_adapter(request.adapter)
        name = request.scheduler or options.scheduler
        own = pipelines.own_scheduler
        pipeline.scheduler = (
            make_scheduler(find_name(name, pipelines.scheduler_names), own) if name else own
        )

        def tell(product: Product) -> None:
            self._open()
            report(product)

        around = None
        if request.mask is not None:
            around = pictures.decode(request.images[0]), pictures.decode_mask(request.mask)
        tokens, cut = pipelines.prompt_tokens(request.prompt)
        drawing = Drawing(
            pipeline,
            made,
            prompt_cut=cut,
            count=request.n,
            seed=request.seed,
            at_once=options.at_once(self._device),
            previews=request.previews,
            enlarge=size.wanted if size.wanted != size.drawn else None,
            around=around,
            report=tell,
        )
        with _broken_devices():
            drawing.run()
        return Usage(prompt_tokens=tokens)

    def _open(self) -> Pipelines:
        if self._closing or self._pipelines is None:
            raise Cancelled("The model was unloaded.")
        return self._pipelines


@contextmanager
def _broken_devices() -> Iterator[None]:
    """
    Raises:
        EngineBroken: the device refuses all further work, as CUDA does after some errors.
    """
    import torch

    try:
        yield
    except torch.AcceleratorError as error:
        raise EngineBroken(str(error)) from error


def _dtype(options: DiffusersOptions, device: str) -> Any:
    import torch

    if options.dtype != "auto":
        return getattr(torch, options.dtype)
    if device == "cpu":
        return torch.float32
    if device == "cuda" and torch.cuda.is_bf16_supported():
        return torch.bfloat16
    return torch.float16
