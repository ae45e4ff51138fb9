"""Launch options of every engine on vLLM. Names are vLLM's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from xinfer import system
from xinfer.model.engine import EngineOptions

Positive = Annotated[int, Meta(ge=1)]

LENGTH_ON_PROCESSORS = 8192


class SharedOptions(EngineOptions, frozen=True, kw_only=True):
    """How vLLM runs a model. Sizes are in tokens where nothing else is said."""

    max_model_len: Positive | None = None
    """The most that one request may have, prompt and output together; the model's own by default,
    but at most 8192 on processors."""
    max_num_seqs: Positive = 256
    """Requests that run at once."""
    max_num_batched_tokens: Positive | None = None
    """Tokens computed in one step, of all requests together; vLLM chooses by default."""
    gpu_memory_utilization: Annotated[float, Meta(gt=0, le=1)] = 0.9
    """Share of an accelerator's memory that vLLM takes."""
    tensor_parallel_size: Positive | None = None
    """Accelerators that each layer is divided over; by default all that the replica has, divided
    by `pipeline_parallel_size`."""
    pipeline_parallel_size: Positive = 1
    """Groups of accelerators that hold some of the layers each."""
    dtype: Literal["auto", "float32", "bfloat16", "float16", "half", "float"] = "auto"
    """Type that is computed in."""
    quantization: str | None = None
    """How the weights are quantised: by default as the model's files say; fp8 and others quantise
    while loading."""
    enforce_eager: bool | None = None
    """Compute without compiled graphs: starts sooner, runs slower; what happens on processors by
    default."""
    load_format: str = "auto"
    """How weights are read, as vLLM names it."""
    hf_overrides: dict[str, Any] = {}
    """Values of the model's config.json to be replaced, such as rope_parameters."""
    n_threads: Positive | None = None
    """On processors: threads that compute; by default the processors that this process may use, but
    one, for the scheduler."""

    @property
    def threads(self) -> int:
        return self.n_threads or max(1, system.usable_cores() - 1)

    def length(self, own: int, *, accelerated: bool) -> int:
        """Tokens of one request of a model whose own length is `own`; 0 when unknown."""
        if self.max_model_len is not None:
            return self.max_model_len
        return own if accelerated else min(own or LENGTH_ON_PROCESSORS, LENGTH_ON_PROCESSORS)
