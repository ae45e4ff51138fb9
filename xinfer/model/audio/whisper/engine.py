"""The engine for Whisper models in Hugging Face's format, on PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.util import find_spec

from xinfer.errors import Cancelled, InvalidRequest
from xinfer.model.audio.torch_place import LESS_AT_ONCE, choose_place, undivided
from xinfer.model.audio.transcribing import check_transcription, hear
from xinfer.model.audio.whisper.options import WhisperOptions
from xinfer.model.audio.whisper.transcript import Transcriber
from xinfer.model.audio.whisper.vocabulary import Vocabulary
from xinfer.model.engine import EngineOptions, Support
from xinfer.model.memory import estimate
from xinfer.model.torch_build import torch_accelerators
from xinfer.model.torch_device import memory_errors
from xinfer.model.work_engine import Report
from xinfer.types.event import Usage
from xinfer.types.model import Abilities, EngineStats, Loaded, Memory, ModelSpec, Progress
from xinfer.types.product import Product
from xinfer.types.request import TranscribeRequest, WorkRequest

PACKAGES = ("av", "torch", "transformers")
ARCHITECTURE = "WhisperForConditionalGeneration"
_WINDOW = 1500
"""Positions of a window, for the estimate."""


class WhisperEngine:
    """Windows of 30 seconds one after the other; a cancel takes effect with the next token."""

    def __init__(self, spec: ModelSpec, options: WhisperOptions) -> None:
        self._spec = spec
        self._options = options
        self._transcriber: Transcriber | None = None
        self._vocabulary: Vocabulary | None = None
        self._closing = threading.Event()
        self._running = 0

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if spec.type != "audio" or "audio2text" not in spec.abilities:
            return Support(False, "it runs audio models that write speech down only")
        if spec.format not in ("", "pytorch"):
            return Support(False, "it runs models in Hugging Face's format (pytorch) only")
        if spec.architecture not in ("", ARCHITECTURE) or spec.family != "whisper":
            return Support(False, "it runs models of the Whisper family only")
        missing = [package for package in PACKAGES if find_spec(package) is None]
        if missing:
            return Support(False, f"{', '.join(missing)} is not installed", "audio")
        return Support(True)

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return WhisperOptions

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        if any(find_spec(package) is None for package in PACKAGES):
            return None
        return torch_accelerators()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: WhisperOptions) -> Memory:
        memory = estimate(spec, context=_WINDOW, tokens_at_once=_WINDOW * options.concurrency)
        return undivided(memory)

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        import torch
        from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

        torch.set_num_threads(self._options.threads)
        place = choose_place(self._options.device, self._options.torch_dtype)
        progress(Progress(0.1, "loading"))
        with memory_errors(f"for {self._spec.path}. {LESS_AT_ONCE}"):
            model = WhisperForConditionalGeneration.from_pretrained(
                self._spec.path, dtype=place.dtype, local_files_only=True
            )
            model = model.to(place.device).eval()
        extractor = WhisperFeatureExtractor.from_pretrained(self._spec.path, local_files_only=True)
        vocabulary = self._vocabulary = Vocabulary(self._spec.path, model.config)
        self._transcriber = Transcriber(
            model,
            extractor,
            vocabulary,
            conditioned=self._options.condition_on_previous_text,
        )
        progress(Progress(1.0, "loading"))
        return Loaded(
            context_length=int(model.config.max_target_positions),
            concurrency=self._options.concurrency,
            abilities=Abilities(cancel="token", tasks=frozenset({"audio2text"})),
            backend=place.device,
            details={
                "dtype": str(model.dtype).removeprefix("torch."),
                "threads": self._options.threads,
                "languages": sorted(vocabulary.languages) or ["en"],
                "word_timestamps": bool(vocabulary.alignment_heads),
                "max_seconds": self._options.max_seconds,
            },
        )

    def check(self, request: WorkRequest) -> None:
        vocabulary = self._vocabulary
        assert vocabulary is not None
        asked = check_transcription(
            request,
            languages=tuple(vocabulary.languages) or ("en",),
            translates=vocabulary.multilingual,
        )
        if asked.words and not vocabulary.alignment_heads:
            raise InvalidRequest(
                "`timestamp_granularities[]`: the model's generation_config.json names no "
                "alignment_heads, without which it is not known when a word is said. Ask for "
                "segments, or launch a form of the model for faster-whisper.",
                param="timestamp_granularities[]",
            )

    def work(self, request: WorkRequest, report: Report) -> Usage:
        assert isinstance(request, TranscribeRequest)

        def told(product: Product) -> None:
            if self._closing.is_set():
                raise Cancelled("The model was unloaded.")
            report(product)

        self._running += 1
        try:
            samples = hear(request, told, most_seconds=self._options.max_seconds)
            transcriber = self._transcriber
            if transcriber is None:
                raise Cancelled("The model was unloaded.")
            with memory_errors(f"to write this recording down. {LESS_AT_ONCE}"):
                return transcriber.write(samples, request, told)
        finally:
            self._running -= 1

    def stats(self) -> EngineStats:
        return EngineStats(running=self._running)

    def close(self) -> None:
        self._closing.set()
        self._transcriber = None
