"""The vLLM engine: language models on vLLM's own scheduler and processes.

vLLM is imported when a model is loaded, by the modules `loading` and `generation`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from xinfer.errors import EngineFailed
from xinfer.model.engine import EngineOptions, Support, TokenEvent, TokenRequest
from xinfer.model.llm.constraint.support import KINDS, load_compiler
from xinfer.model.llm.mailbox import Mailbox
from xinfer.model.llm.vllm.arguments import (
    adapter_paths,
    engine_arguments,
    processors_cache,
    takes_seeds,
)
from xinfer.model.llm.vllm.options import FULL_ON_PROCESSORS, VllmOptions
from xinfer.model.llm.vllm.sampling import HONOURED, sampling_fields
from xinfer.model.memory import estimate
from xinfer.model.vllm import installed
from xinfer.model.vllm.arguments import environment
from xinfer.model.vllm.records import Records
from xinfer.types.failure import Failure
from xinfer.types.model import Abilities, EngineStats, Loaded, Memory, ModelSpec, Progress
from xinfer.types.request import Constraint

if TYPE_CHECKING:
    from vllm.lora.request import LoRARequest
    from vllm.v1.engine.async_llm import AsyncLLM

    from xinfer.model.llm.constraint.compiler import ConstraintCompiler
    from xinfer.model.llm.tokenizer.hf import HfTokenizer
    from xinfer.model.llm.vllm.generation import Generation

_HEALTH_INTERVAL = 1.0
_GRACE = 1.0
"""Seconds after which processes that are asked to end are killed."""
_PROCESS = 1 << 30
"""Main memory of vLLM's two or more processes, with PyTorch, beyond weights and cache."""


class VllmEngine:
    """One task on the event loop for each request; vLLM computes in processes of its own.

    An output that is resumed goes on as it would have where it is greedy; a sampled one goes on
    validly, with a seed derived from the request's and the position. vLLM would take what is
    resumed for a part of the prompt, so requests are refused to be resumed that count their output
    (presence and frequency penalties) or read it (a constraint).
    """

    tokenizer: HfTokenizer

    def __init__(self, spec: ModelSpec, options: VllmOptions) -> None:
        self._spec = spec
        self._options = options
        self._llm: AsyncLLM | None = None
        self._directory: TemporaryDirectory[str] | None = None
        self._adapters: dict[str, LoRARequest] = {}
        self._constraints: ConstraintCompiler | None = None
        self._mailbox: Mailbox[TokenEvent] | None = None
        self._running: dict[int, Generation] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._failure: BaseException | None = None
        self._prompt_tokens = 0
        self._cached_tokens = 0
        self._completion_tokens = 0

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if spec.type != "LLM":
            return Support(False, f"it runs language models, not models of type {spec.type}")
        return installed.support(spec)

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return installed.with_installed(VllmOptions)

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        return installed.accelerators()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: VllmOptions) -> Memory:
        accelerated = bool(cls.accelerators())
        memory = estimate(
            spec,
            options.length(spec.context_length, accelerated=accelerated),
            min(FULL_ON_PROCESSORS, options.max_num_seqs),
            kv_bytes=1 if options.kv_cache_dtype.startswith("fp8") else 2,
            tokens_at_once=options.max_num_batched_tokens or 8192,
            ahead=None,
        )
        cache = options.kv_cache_memory_bytes
        if cache is None and not accelerated:
            cache = processors_cache(spec, options)
        return msgspec.structs.replace(
            memory,
            kv_cache=memory.kv_cache if cache is None else cache,
            overhead=memory.overhead + _PROCESS,
            processors_only=not accelerated,
        )

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        adapters = adapter_paths(self._options.lora)
        progress(Progress(0.02, "loading", "Importing vLLM"))
        self._directory = TemporaryDirectory(prefix="xinfer-vllm-")
        records = Records(Path(self._directory.name))
        accelerated = bool(self.accelerators())
        os.environ.update(environment(self._options, records.config, accelerated=accelerated))
        from vllm.lora.request import LoRARequest
        from vllm.platforms import current_platform
        from vllm.v1.engine.async_llm import AsyncLLM

        from xinfer.model.vllm.loading import start

        devices = current_platform.device_count() if accelerated else 0
        arguments = engine_arguments(self._spec, self._options, devices=devices)
        llm = self._llm = start(
            AsyncLLM.from_engine_args, arguments, records, progress, self._spec.name
        )
        config = llm.model_config
        self._defaults = config.get_diff_sampling_param()
        from xinfer.model.llm.tokenizer.hf import load_tokenizer

        self.tokenizer = load_tokenizer(
            Path(self._spec.path),
            eos_ids=_ends(llm),
            vocabulary_size=config.get_vocab_size(),
            code=bool(self._spec.remote_code),
        )
        self._adapters = {
            name: LoRARequest(name, number, path)
            for number, (name, path) in enumerate(adapters.items(), start=1)
        }
        self._constraints = load_compiler(self.tokenizer)
        progress(Progress(1.0, "loading"))
        slots = self._options.max_num_seqs
        seeds = takes_seeds(self._options, accelerated=accelerated)
        return Loaded(
            context_length=config.max_model_len,
            # As many again wait in vLLM: who takes over a slot is computed with the next step.
            concurrency=2 * slots,
            abilities=Abilities(
                cancel="step",
                resume=True,
                logprobs=True,
                constraint=frozenset() if self._constraints is None else KINDS,
                adapters=frozenset(adapters),
                sampling=HONOURED if seeds else HONOURED - {"seed"},
            ),
            backend=current_platform.device_type,
            details={
                "architecture": config.architecture,
                "dtype": str(config.dtype).removeprefix("torch."),
                "tensor_parallel_size": arguments["tensor_parallel_size"],
                "pipeline_parallel_size": arguments["pipeline_parallel_size"],
            },
        )

    def close(self) -> None:
        """End vLLM's processes; blocks for some seconds at the most."""
        self._closed = True
        if self._mailbox is not None:
            self._mailbox.close()
        if self._llm is not None:
            from vllm.utils.async_utils import cancel_task_threadsafe

            if self._llm.output_handler is not None:  # it would report that the processes end
                cancel_task_threadsafe(self._llm.output_handler)
            self._llm.shutdown(timeout=_GRACE)
            self._llm = None
        if self._directory is not None:
            self._directory.cleanup()

    def stats(self) -> EngineStats:
        running = list(self._running.values())
        computed = min(len(running), self._options.max_num_seqs)
        return EngineStats(
            running=computed,
            waiting=len(running) - computed,
            prompt_tokens=self._prompt_tokens,
            cached_tokens=self._cached_tokens,
            completion_tokens=self._completion_tokens
            + sum(generation.completion_tokens for generation in running),
        )

    def check_constraint(self, constraint: Constraint) -> None:
        assert self._constraints is not None
        self._constraints.check(constraint)

    def submit(self, request: TokenRequest) -> None:
        from xinfer.model.llm.vllm.generation import Generation

        events = self._events()
        self._prompt_tokens += len(request.prompt)
        try:
            fields = sampling_fields(
                request,
                self._defaults,
                ends=self.tokenizer.eos_ids,
                vocabulary_size=self.tokenizer.vocabulary_size,
            )
        except Exception as error:
            events.put(TokenEvent(request.id, [], "error", Failure.of(error)))
            return
        generation = self._running[request.id] = Generation(
            request,
            fields=fields,
            ends=self.tokenizer.eos_ids,
            adapter=self._adapters[request.adapter] if request.adapter is not None else None,
            constraints=self._constraints if request.constraint is not None else None,
            emit=self._emit,
        )
        assert self._llm is not None
        task = generation.start(self._llm)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def abort(self, request_id: int) -> None:
        generation = self._running.get(request_id)
        if generation is not None:
            generation.abort()

    async def steps(self) -> AsyncIterator[list[TokenEvent]]:
        """
        Raises:
            EngineFailed: vLLM's processes have ended.
        """
        watch = asyncio.create_task(self._watch())
        try:
            async for events in self._events().batches():
                yield events
        finally:
            tasks = [watch, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._failure is not None:
            raise self._failure

    def _events(self) -> Mailbox[TokenEvent]:
        """Made on first use, on the event loop; `load` runs on another thread."""
        if self._mailbox is None:
            self._mailbox = Mailbox()
            if self._closed:
                self._mailbox.close()
        return self._mailbox

    def _emit(self, event: TokenEvent) -> None:
        if event.finish is not None:
            generation = self._running.pop(event.id)
            self._completion_tokens += generation.completion_tokens
            self._cached_tokens += generation.cached_tokens
        self._events().put(event)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fail()

    async def _watch(self) -> None:
        """Notice the end of vLLM's processes while nothing is asked of them."""
        while True:
            await asyncio.sleep(_HEALTH_INTERVAL)
            if self._llm is None or self._llm.errored:
                return self._fail()

    def _fail(self) -> None:
        if self._closed or self._failure is not None:
            return
        self._failure = EngineFailed("The processes of vLLM have ended; its log says why.")
        self._events().close()


def _ends(llm: AsyncLLM) -> frozenset[int]:
    """Tokens that end an output, as the model's files say."""
    config = llm.model_config
    found: set[int] = set()
    given = [
        config.try_get_generation_config().get("eos_token_id"),
        getattr(config.hf_text_config, "eos_token_id", None),
        getattr(llm.tokenizer, "eos_token_id", None),
    ]
    for ids in given:
        if ids is not None:
            found |= {ids} if isinstance(ids, int) else set(ids)
    return frozenset(token for token in found if 0 <= token < config.get_vocab_size())
