"""Launch options of every engine on llama-cpp-python, by llama.cpp's own names."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions

Positive = Annotated[int, Meta(ge=1)]
CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "iq4_nl", "q4_1", "q4_0"]


class ModelOptions(EngineOptions, frozen=True, kw_only=True):
    """Where llama.cpp keeps the weights and what it computes with."""

    n_threads: Positive | None = None
    """Threads that compute; the processors this process may use, but at most 16, by default."""
    n_gpu_layers: Annotated[int, Meta(ge=-1)] = -1
    """Layers kept on the accelerator, where the build has one; -1 is as many as fit."""
    main_gpu: Annotated[int, Meta(ge=0)] = 0
    """The accelerator that is used when the model is not split."""
    split_mode: Literal["none", "layer", "row"] = "layer"
    """How the model is split over several accelerators."""
    tensor_split: tuple[Annotated[float, Meta(ge=0)], ...] = ()
    """Share of the model for each accelerator; in proportion to free memory by default."""
    flash_attn: Literal["auto", "on", "off"] = "auto"
    """Flash attention."""
    cache_type_k: CacheType = "f16"
    """Type of the KV cache's keys."""
    cache_type_v: CacheType = "f16"
    """Type of the KV cache's values; a quantised one needs flash attention."""
    use_mmap: bool = True
    """Map the file instead of reading it into memory of its own."""
    use_mlock: bool = False
    """Keep the model from being swapped out."""
    use_extra_bufts: bool | None = None
    """Repack weights for the processor's own matrix instructions; by default wherever that is
    known not to crash."""

    @property
    def threads(self) -> int:
        return self.n_threads or system.computing_threads()
