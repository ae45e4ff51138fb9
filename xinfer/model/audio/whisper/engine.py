"""The engine for Whisper models in Hugging Face's format, on PyTorch."""

from __future__ import annotations

from collections.abc import Callable

from xinfer.errors import Cancelled, InvalidRequest
from xinfer.model.audio.engine import AudioEngine
from xinfer.model.audio.transcribing import check_transcription, hear
from xinfer.model.audio.whisper.options import WhisperOptions
from xinfer.model.audio.whisper.transcript import Transcriber
from xinfer.model.audio.whisper.vocabulary import Vocabulary
from xinfer.model.memory import estimate_on_torch
from xinfer.model.torch_build import torch_accelerators
from xinfer.model.torch_device import choose_place, memory_errors
from xinfer.model.work_engine import Report
from xinfer.types.event import Usage
from xinfer.types.model import Abilities, Loaded, Memory, ModelSpec, Progress
from xinfer.types.request import TranscribeRequest, WorkRequest

ARCHITECTURE = "WhisperForConditionalGeneration"
_LESS_AT_ONCE = "Launch the model with fewer requests at once (concurrency), or on another device."
_WINDOW = 1500
"""Positions of a window, for the estimate."""


class WhisperEngine(AudioEngine[WhisperOptions]):
    """Windows of 30 seconds one after the other; a cancel takes effect with the next token."""

    packages = ("av", "torch", "transformers")
    options_class = WhisperOptions

    def __init__(self, spec: ModelSpec, options: WhisperOptions) -> None:
        super().__init__(spec, options)
        self._transcriber: Transcriber | None = None
        self._vocabulary: Vocabulary | None = None

    @classmethod
    def _refusal(cls, spec: ModelSpec) -> str:
        if spec.type != "audio" or "audio2text" not in spec.abilities:
            return "it runs audio models that write speech down only"
        if spec.format not in ("", "pytorch"):
            return "it runs models in Hugging Face's format (pytorch) only"
        if spec.architecture not in ("", ARCHITECTURE) or spec.family != "whisper":
            return "it runs models of the Whisper family only"
        return ""

    @classmethod
    def _accelerators(cls) -> frozenset[str]:
        return torch_accelerators()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: WhisperOptions) -> Memory:
        return estimate_on_torch(
            spec,
            _WINDOW * options.concurrency,
            device=options.device,
            dtype=options.torch_dtype,
            accelerated=bool(cls.accelerators()),
        )

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        import torch
        from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

        torch.set_num_threads(self._options.threads)
        place = choose_place(self._options.device, self._options.torch_dtype)
        progress(Progress(0.1, "loading"))
        with memory_errors(f"for {self._spec.path}. {_LESS_AT_ONCE}"):
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

    def _work(self, request: WorkRequest, told: Report) -> Usage:
        assert isinstance(request, TranscribeRequest)
        samples = hear(request, told, most_seconds=self._options.max_seconds)
        transcriber = self._transcriber
        if transcriber is None:
            raise Cancelled("The model was unloaded.")
        with memory_errors(f"to write this recording down. {_LESS_AT_ONCE}"):
            return transcriber.write(samples, request, told)

    def _release(self) -> None:
        self._transcriber = None
