"""Launch options of the diffusers engine."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions
from xinfer.types.model import LoraAdapter

MAX_STEPS = 500
"""Beyond it, schedulers of models that were trained on 1000 fail on the last ones."""

Positive = Annotated[int, Meta(ge=1)]


class DiffusersOptions(EngineOptions, frozen=True, kw_only=True):
    """Where the model is computed, what stands beside it, and what a request does not say."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where it is computed: on an accelerator if there is one, by default."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """What weights are kept and computed in: float32 on processors by default, and on accelerators
    bfloat16 where they have it, else float16."""
    cpu_offload: bool | Literal["model", "sequential"] = False
    """Keep the parts of the model in main memory, and move each onto the accelerator while it
    computes (true or model), or even each layer (sequential): slower, for less memory."""
    vae_tiling: bool = False
    """Decode pictures in tiles: slower, for large ones on little memory."""
    n_threads: Positive | None = None
    """Threads that compute on processors; those this process may use, but at most 16, by
    default."""
    batch_size: Positive | None = None
    """Pictures of a request that are drawn at once: 4 on accelerators and 1 on processors by
    default. Where memory does not suffice for them, half as many."""
    max_pixels: Positive = 4_194_304
    """Pixels of a picture that is asked for, at most."""
    native_pixels: Positive | None = None
    """Pixels of pictures as the model learned them. Larger ones are drawn in so many, in their
    proportions, and enlarged to the size that is asked for; as the model's generation_config.json
    says by default, and where it says nothing all are drawn in their own size."""
    steps: Annotated[int, Meta(ge=1, le=MAX_STEPS)] | None = None
    """Steps of a picture where a request does not say; the pipeline's own number by default."""
    guidance: Annotated[float, Meta(ge=0, le=100)] | None = None
    """How strongly the prompt bears on a picture where a request does not say."""
    strength: Annotated[float, Meta(ge=0, le=1)] | None = None
    """How far a picture may be from a given one where a request does not say."""
    negative_prompt: str | None = None
    """What is not to be seen where a request does not say."""
    scheduler: str | None = None
    """How a picture is freed of noise: euler, dpm++_2m_karras, …; as the model's files say by
    default."""
    lora: dict[str, LoraAdapter] = {}
    """LoRA adapters by name, each a file or a directory; all of them apply, unless a request names
    one."""
    controlnet: str | tuple[str, ...] = ()
    """Directories of ControlNets; each takes a picture of a request."""
    safety_checker: bool = True
    """Whether to have pictures judged, where the model brings something that does."""

    @property
    def threads(self) -> int:
        return self.n_threads or system.computing_threads()

    @property
    def controlnets(self) -> tuple[str, ...]:
        return (self.controlnet,) if isinstance(self.controlnet, str) else self.controlnet

    def at_once(self, device: str) -> int:
        return self.batch_size or (1 if device == "cpu" else 4)
