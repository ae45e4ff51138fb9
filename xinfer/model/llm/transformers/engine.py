"""The Transformers engine: language models in their own format, on PyTorch.

Neither PyTorch nor Transformers is imported before a model is loaded.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from xinfer.model.engine import EngineOptions, MediaPrompt, Support
from xinfer.model.llm.constraint.support import KINDS, load_compiler
from xinfer.model.llm.scheduling.loop import StepLoop
from xinfer.model.llm.scheduling.scheduler import Scheduler
from xinfer.model.llm.scheduling.thread import SteppingEngine
from xinfer.model.llm.transformers.architectures import needs_code, unknown_architecture
from xinfer.model.llm.transformers.formats import (
    FORMATS,
    UNPACKED_ON_PROCESSORS,
    why_unreadable,
)
from xinfer.model.llm.transformers.options import TransformersOptions
from xinfer.model.memory import estimate, quantized_bytes, scan_bytes
from xinfer.types.model import Abilities, Loaded, Memory, ModelSpec, Progress
from xinfer.types.request import Media

if TYPE_CHECKING:
    from xinfer.model.llm.tokenizer.hf import HfTokenizer
    from xinfer.model.llm.transformers.model import HfModel
    from xinfer.model.llm.transformers.vision import Vision

logger = logging.getLogger(__name__)

PACKAGES = ("torch", "transformers")
EXTRA = "transformers"


class TransformersEngine(SteppingEngine):
    """One thread computes all requests together, step by step.

    With the same seed, a token depends on its position in the output and on what came before it,
    not on who else is computed; so an output that is resumed goes on as it would have.
    """

    tokenizer: HfTokenizer
    media_sign = ""

    def __init__(self, spec: ModelSpec, options: TransformersOptions) -> None:
        super().__init__("transformers")
        self._spec = spec
        self._options = options
        self._model: HfModel | None = None
        self._vision: Vision | None = None

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if spec.type != "LLM":
            return Support(False, f"it runs language models, not models of type {spec.type}")
        if spec.format not in FORMATS:
            return Support(False, f"it runs models in the formats {', '.join(FORMATS)} only")
        missing = [package for package in PACKAGES if find_spec(package) is None]
        if missing:
            return Support(False, f"the package {missing[0]} is not installed", EXTRA)
        lacking = why_unreadable(spec.format)
        if lacking is not None:
            return lacking
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
        accelerated = bool(cls.accelerators())
        wide = options.torch_dtype == "float32"
        if options.torch_dtype == "auto":
            wide = not accelerated
        width = 4 if wide else 2
        memory = estimate(
            spec,
            options.length(spec.context_length),
            options.max_num_seqs,
            kv_bytes=width,
            tokens_at_once=options.max_batch_tokens,
            ahead=None,
            flash=accelerated,
        )
        scan = scan_bytes(spec.shape, options.max_batch_tokens)
        return msgspec.structs.replace(
            memory,
            weights=cls._weights(spec, options, width, accelerated) or memory.weights,
            overhead=memory.overhead + scan,
            accelerator_overhead=memory.accelerator_overhead + scan,
        )

    @staticmethod
    def _weights(
        spec: ModelSpec, options: TransformersOptions, width: int, accelerated: bool
    ) -> int:
        """Bytes of the weights; 0 where they are as in the files."""
        config = options.quantization_config or {}
        bits = options.load_in_bits or (config.get("load_in_4bit") and 4)
        bits = bits or (config.get("load_in_8bit") and 8)
        if bits:
            return quantized_bytes(spec, bits, width)
        plain = spec.quantization.lower() in ("", "none")
        if plain and accelerated and options.torch_dtype == "auto":
            return 0
        unpacked = not accelerated and spec.format in UNPACKED_ON_PROCESSORS
        if not (plain or unpacked):
            return 0
        return int(width * 1e9 * (spec.size_in_billions or 0))

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        from xinfer.model.llm.tokenizer.hf import load_tokenizer
        from xinfer.model.llm.transformers.choosing import choose_computer
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
        vision, blind = self._see(model, code)
        chosen = choose_computer(
            model,
            self._constraints,
            self.tokenizer.eos_ids,
            slots=options.max_num_seqs,
            longest=length,
            asked=options.batching,
            vision=vision,
        )
        computer = chosen.computer
        self._vision = computer.vision
        if self._vision is not None:
            self.media_sign = self._vision.sign
        if blind := blind or chosen.blind:
            logger.warning("The model takes no pictures: %s", blind)
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
                media=self._vision is not None,
                sampling=_honoured(),
            ),
            backend=str(model.device),
            details={
                "architecture": model.architecture,
                "dtype": str(model.model.dtype).removeprefix("torch."),
                "batching": chosen.batching,
                "batching_reason": chosen.reason,
                "pictures": "taken" if self._vision is not None else blind,
                "threads": options.threads,
            },
        )

    def close(self) -> None:
        """End what runs and release the model; blocks until the step being computed has ended."""
        self._stop()
        if self._model is not None:
            self._model.close()

    def media_prompt(self, texts: Sequence[str], media: Sequence[Media]) -> MediaPrompt:
        assert self._vision is not None
        return self._vision.prompt(texts, media)

    def _see(self, model: HfModel, code: bool) -> tuple[Vision | None, str | None]:
        """What the model sees with; or why there is nothing, where it is one that could see."""
        if not model.sees:
            return None, None
        try:
            from xinfer.model.llm.transformers.processor import PictureProcessor
            from xinfer.model.llm.transformers.vision import Vision

            processor = PictureProcessor(model.path, model.config, model.inputs, code=code)
            return Vision(model, processor, self.tokenizer), None
        except Exception as error:  # whatever files and missing packages make the library raise
            from xinfer.model.llm.transformers.failures import first_line

            return None, f"its processor cannot be loaded: {first_line(error)}"


def _honoured() -> frozenset[str]:
    from xinfer.model.llm.transformers.sampler import HONOURED

    return HONOURED
