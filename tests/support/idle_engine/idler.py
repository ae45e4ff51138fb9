"""An engine that takes pictures and draws none of its own, without any library: it is on a machine
whose PYTHONPATH has this folder."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from xinfer.errors import Cancelled
from xinfer.model.engine import EngineOptions, Support
from xinfer.model.work_engine import Report
from xinfer.types.event import Usage
from xinfer.types.model import Abilities, EngineStats, Loaded, Memory, ModelSpec, Progress
from xinfer.types.product import Advance, Picture
from xinfer.types.request import ImageRequest, WorkRequest

FOREVER = "forever"
"""A prompt that is worked on until its client goes."""
LARGE, LARGE_BYTES = "large", 8 << 20
"""A prompt of which pictures are large."""


class IdlerEngine:
    """Answers with pictures of a byte, one request at a time."""

    def __init__(self, spec: ModelSpec, options: EngineOptions) -> None:
        self._closed = threading.Event()

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        return Support(spec.type == "image", "" if spec.type == "image" else "it takes pictures")

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return EngineOptions

    @classmethod
    def accelerators(cls) -> frozenset[str]:
        return frozenset()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: Any) -> Memory:
        return Memory()

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        tasks = frozenset({"text2image", "image2image"})
        return Loaded(
            context_length=0, concurrency=1, abilities=Abilities(cancel="step", tasks=tasks)
        )

    def check(self, request: WorkRequest) -> None:
        pass

    def work(self, request: WorkRequest, report: Report) -> Usage:
        assert isinstance(request, ImageRequest)
        report(Advance(0, 1))
        while request.prompt == FOREVER:
            if self._closed.wait(0.01):
                raise Cancelled("The model was unloaded.")
            report(Advance(0, 1))
        size = LARGE_BYTES if request.prompt == LARGE else 1
        for index in range(request.n):
            report(Picture(index, bytes(size), index))
        return Usage()

    def close(self) -> None:
        self._closed.set()

    def stats(self) -> EngineStats:
        return EngineStats()


def make_model(folder: Path) -> Path:
    """The directory of a model that it takes."""
    part = folder / "unet"
    part.mkdir(parents=True)
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    (part / "config.json").write_text(json.dumps({"_class_name": "UNet"}))
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    weights = struct.pack("<Q", len(header)) + header + bytes(4)
    (part / "diffusion_pytorch_model.safetensors").write_bytes(weights)
    return folder
