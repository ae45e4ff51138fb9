"""The llama-cpp-python engine: GGUF language models at llama.cpp's full speed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from xinfer.errors import InvalidRequest
from xinfer.model.engine import (
    EngineOptions,
    MediaPrompt,
    Support,
)
from xinfer.model.gguf_file import context_length, read_headers
from xinfer.model.inspect.sampling_defaults import sampling_defaults
from xinfer.model.llama_cpp.binding import PACKAGE, accelerators, installed
from xinfer.model.llama_cpp.kv_cache import kv_bytes
from xinfer.model.llama_cpp.loading import load_model
from xinfer.model.llama_cpp.model import LlamaModel
from xinfer.model.llm.constraint.support import KINDS, load_compiler
from xinfer.model.llm.llama_cpp.adapters import adapter_bytes, load_adapters
from xinfer.model.llm.llama_cpp.computer import LlamaComputer
from xinfer.model.llm.llama_cpp.context import LlamaContext
from xinfer.model.llm.llama_cpp.kv_cache import plan_kv
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions
from xinfer.model.llm.llama_cpp.projector import AUTO, find_projector
from xinfer.model.llm.llama_cpp.sampler import HONOURED
from xinfer.model.llm.llama_cpp.vision import Vision
from xinfer.model.llm.scheduling.loop import StepLoop
from xinfer.model.llm.scheduling.scheduler import Scheduler
from xinfer.model.llm.scheduling.thread import SteppingEngine
from xinfer.model.llm.tokenizer.gguf import GgufTokenizer
from xinfer.model.llm.tokenizer.pieces import Vocabulary
from xinfer.model.memory import estimate_gguf
from xinfer.types.model import Abilities, Loaded, Memory, ModelSpec, Progress
from xinfer.types.request import Media

if TYPE_CHECKING:
    pass

logger = logging.getLogger(__name__)


class LlamaCppEngine(SteppingEngine):
    """One thread computes all requests together, step by step.

    Penalties look at the last tokens of prompt and output alike, as llama.cpp counts them. With
    the same seed, a token depends on its position in the output and on what came before it, not
    on who else is in the batch; so an output that is resumed goes on as it would have.
    """

    tokenizer: GgufTokenizer

    def __init__(self, spec: ModelSpec, options: LlamaCppOptions) -> None:
        super().__init__("llama.cpp")
        self._spec = spec
        self._options = options
        self._vision: Vision | None = None
        self._release: list[Callable[[], None]] = []

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if spec.type != "LLM":
            return Support(False, f"it runs language models, not models of type {spec.type}")
        if spec.format != "ggufv2":
            return Support(False, "it runs .gguf files (format ggufv2) only")
        if not installed():
            return Support(False, f"the package {PACKAGE} is not installed", "llama-cpp")
        return Support(True)

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return LlamaCppOptions

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        return accelerators()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: LlamaCppOptions) -> Memory:
        parts = read_headers(spec.path)
        kv = plan_kv(parts[0], context_length(parts[0], options.n_ctx), options)
        projector = find_projector(spec.path, options.mmproj)
        return estimate_gguf(
            parts if projector is None else [*parts, projector],
            kv_cache=sum(kv_bytes(parts[0], kv, options.n_parallel)),
            ubatch=options.n_ubatch,
            attended=kv.cells if kv.unified else kv.cells // options.n_parallel,
            flash=options.flash_attn != "off",
            gpu_layers=options.n_gpu_layers,
            adapters=adapter_bytes(options.lora),
            divides=options.split_mode != "none",
        )

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        options = self._options
        parts = read_headers(self._spec.path)
        gguf = parts[0]
        context_tokens = context_length(gguf, options.n_ctx)
        kv = plan_kv(gguf, context_tokens, options)
        projector = find_projector(self._spec.path, options.mmproj)
        model, offloaded = load_model(
            parts if projector is None else [*parts, projector],
            options,
            kv_bytes=kv_bytes(gguf, kv, options.n_parallel),
            progress=lambda fraction: progress(Progress(0.9 * fraction, "loading")),
        )
        self._release.append(model.close)
        adapters = load_adapters(model, gguf, options.lora)
        batch = max(min(options.n_batch, kv.cells), options.n_parallel)
        if projector is not None:
            self._vision = self._see(model, projector.path, min(batch, options.n_ubatch))
        context = LlamaContext(
            model,
            options,
            path=self._spec.path,
            kv=kv,
            slots=options.n_parallel,
            batch=batch,
        )
        self._release.append(context.close)
        self.tokenizer = GgufTokenizer(
            gguf,
            Vocabulary(gguf, engine_pieces=model.pieces),
            reference=model.tokenize,
            eos_ids=model.end_ids,
            prompt_prefix=model.prompt_prefix(),
        )
        self._constraints = load_compiler(self.tokenizer)
        computer = LlamaComputer(
            model,
            context,
            context_length=context_tokens,
            defaults=sampling_defaults(gguf, repeat_last_n=options.repeat_last_n),
            adapters=adapters,
            constraints=self._constraints,
            vision=self._vision,
        )
        loop = StepLoop(
            computer,
            Scheduler(
                context,
                slots=options.n_parallel,
                cells=kv.cells if kv.unified else None,
                batch=batch,
            ),
            context_length=context_tokens,
            emit=self._emit,
        )
        self._start(loop)
        progress(Progress(1.0, "loading"))
        return Loaded(
            context_length=context_tokens,
            # As many again wait here: who takes over a slot is computed with the very next step.
            concurrency=2 * options.n_parallel,
            abilities=Abilities(
                cancel="step",
                resume=True,
                logprobs=True,
                constraint=frozenset() if self._constraints is None else KINDS,
                adapters=frozenset(adapters),
                media=self._vision is not None and self._vision.sees,
                audio=self._vision is not None and self._vision.hears,
                sampling=HONOURED,
            ),
            backend=offloaded.backend,
            details={
                "architecture": gguf.architecture,
                "layers": model.layers,
                "layers_offloaded": offloaded.layers,
                "threads": options.threads,
                "kv_cells": kv.cells,
                "kv_unified": kv.unified,
                "mmproj": None if self._vision is None else self._vision.path,
            },
        )

    def _see(self, model: LlamaModel, path: str, most: int) -> Vision | None:
        """The vision of a projector; None where one that nobody asked for does not fit."""
        try:
            vision = Vision(model, path, self._options, most)
        except InvalidRequest as error:
            if self._options.mmproj != AUTO:
                raise
            logger.warning("%s The model takes no pictures.", error.message)
            return None
        self._release.append(vision.close)
        return vision

    def close(self) -> None:
        """End what runs and release the model; blocks for up to one operation of llama.cpp."""
        self._stop()
        for release in reversed(self._release):
            release()
        self._release.clear()

    def media_prompt(self, texts: Sequence[str], media: Sequence[Media]) -> MediaPrompt:
        assert self._vision is not None
        return self._vision.prompt(texts, media)
