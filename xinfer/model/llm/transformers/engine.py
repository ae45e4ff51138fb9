"""The Transformers engine: language models in their own format, on PyTorch.

Neither PyTorch nor Transformers is imported before a model is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.engine import EngineOptions, Support
from xinfer.model.llm.constraint.support import KINDS, load_compiler
from xinfer.model.llm.scheduling.loop import StepLoop
from xinfer.model.llm.scheduling.scheduler import Scheduler
from xinfer.model.llm.scheduling.thread import SteppingEngine
from xinfer.model.llm.transformers.architectures import needs_code, unknown_architecture
from xinfer.model.llm.transformers.options import TransformersOptions
from xinfer.model.memory import estimate
from xinfer.types.model import Abilities, Loaded, Memory, ModelSpec, Progress

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.compiler import ConstraintCompiler
    from xinfer.model.llm.tokenizer.hf import HfTokenizer
    from xinfer.model.llm.transformers.computer import PackedComputer, RowsComputer
    from xinfer.model.llm.transformers.model import HfModel

logger = logging.getLogger(__name__)

PACKAGES = ("torch", "transformers")
EXTRA = "transformers"


class TransformersEngine(SteppingEngine):
    """One thread computes all requests together, step by step.

    With the same seed, a token depends on its position in the output and on what came before it,
    not on who else is computed; so an output that is resumed goes on as it would have.
    """

    tokenizer: HfTokenizer

    def __init__(self, spec: ModelSpec, options: TransformersOptions) -> None:
        super().__init__("transformers")
        self._spec = spec
        self._options = options
        self._model: HfModel | None = None

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if spec.type != "LLM":
            return Support(False, f"it runs language models, not models of type {spec.type}")
        if spec.format not in FORMATS:
            return Support(False, f"it runs models in the formats {', '.join(FORMATS)} only")
        missing = [package for package in PACKAGES if find_spec(package) is None]
        if missing:
            return Support(False, f"the package {missing[0]} is not installed", EXTRA)
        unknown = unknown_architecture(spec.architecture)
        if unknown is not None and not spec.remote_code:
            return Support(False, unknown)
        return Support(True, runs_code=needs_code(spec))

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return TransformersOptions

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        if find_spec("torch") is None:
            return None
        from xinfer.model.torch_build import torch_accelerators

        return torch_accelerators()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: TransformersOptions) -> Memory:
        wide = options.torch_dtype == "float32"
        if options.torch_dtype == "auto":
            wide = not cls.accelerators()
        memory = estimate(
            spec,
            options.length(spec.context_length),
            options.max_num_seqs,
            kv_bytes=4 if wide else 2,
            tokens_at_once=options.max_batch_tokens,
            ahead=None,
        )
        if not wide or spec.quantization.lower() != "none":
            return memory
        weights = int(4e9 * (spec.size_in_billions or 0))
        return msgspec.structs.replace(memory, weights=max(memory.weights, weights))

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        from xinfer.model.llm.tokenizer.hf import load_tokenizer
        from xinfer.model.llm.transformers.model import HfModel

        options = self._options
        progress(Progress(0.1, "loading", "Importing Transformers"))
        path = Path(self._spec.path)
        code = needs_code(self._spec)
        model = self._model = HfModel(path, options, code=code)
        progress(Progress(0.8, "loading", "Reading the tokenizer"))
        self.tokenizer = load_tokenizer(
            path,
            eos_ids=model.eos_ids,
            vocabulary_size=model.vocabulary_size,
            code=code,
        )
        length = options.length(model.context_length or self._spec.context_length)
        progress(Progress(0.9, "loading", "Choosing how requests are computed together"))
        self._constraints = load_compiler(self.tokenizer)
        computer, packed, reason = self._computer(model, self._constraints, length)
        loop = StepLoop(
            computer,
            Scheduler(
                computer,
                slots=options.max_num_seqs,
                cells=None,
                batch=max(options.max_batch_tokens, options.max_num_seqs),
            ),
            context_length=length,
            emit=self._emit,
        )
        self._start(loop)
        progress(Progress(1.0, "loading"))
        return Loaded(
            context_length=length,
            # As many again wait here: who takes over a slot is computed with the very next step.
            concurrency=2 * options.max_num_seqs,
            abilities=Abilities(
                cancel="step",
                resume=True,
                logprobs=True,
                constraint=frozenset() if self._constraints is None else KINDS,
                adapters=model.adapters,
                sampling=_honoured(),
            ),
            backend=str(model.device),
            details={
                "architecture": model.architecture,
                "dtype": str(model.model.dtype).removeprefix("torch."),
                "batching": "packed" if packed else "rows",
                "batching_reason": reason,
                "threads": options.threads,
            },
        )

    def close(self) -> None:
        """End what runs and release the model; blocks until the step being computed has ended."""
        self._stop()
        if self._model is not None:
            self._model.close()

    def _computer(
        self, model: HfModel, constraints: ConstraintCompiler | None, length: int
    ) -> tuple[PackedComputer | RowsComputer, bool, str]:
        """What computes, whether it packs, and why."""
        from xinfer.model.llm.transformers.computer import PackedComputer
        from xinfer.model.llm.transformers.probe import make_rows, why_not_packed

        slots, asked = self._options.max_num_seqs, self._options.batching
        reason = None if asked == "rows" else why_not_packed(model)
        if asked == "packed" and reason is not None:
            raise InvalidRequest(
                f"{self._spec.name} cannot be computed packed: {reason}. Leave out batching.",
                param="batching",
            )
        ends = self.tokenizer.eos_ids
        if asked == "rows" or reason is not None:
            why = "asked for" if reason is None else reason
            return make_rows(model, constraints, ends, slots), False, why
        computer = PackedComputer(model, constraints, ends, slots=slots, longest=length)
        return computer, True, "asked for" if asked == "packed" else "gives the same results"


FORMATS = ("pytorch", "gptq", "awq", "fp8", "bnb", "compressed-tensors")
"""Those after the first need a package of their own, which Transformers names."""


def _honoured() -> frozenset[str]:
    from xinfer.model.llm.transformers.sampler import HONOURED

    return HONOURED
