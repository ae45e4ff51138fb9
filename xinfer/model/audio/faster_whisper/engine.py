"""The faster-whisper engine: Whisper models in CTranslate2's format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from xinfer.errors import Cancelled, InvalidRequest, Unavailable
from xinfer.model.audio.decode import Samples
from xinfer.model.audio.engine import AudioEngine
from xinfer.model.audio.faster_whisper.options import FasterWhisperOptions
from xinfer.model.audio.languages import language_code
from xinfer.model.audio.pieces import pieces
from xinfer.model.audio.transcribing import (
    NO_SPEECH,
    RATE,
    REPETITIVE,
    UNLIKELY,
    as_floats,
    check_transcription,
    hear,
    heard_tokens,
    temperatures,
)
from xinfer.model.memory import estimate
from xinfer.model.work_engine import Report
from xinfer.types.event import Usage
from xinfer.types.model import Abilities, Loaded, Memory, ModelSpec, Progress
from xinfer.types.product import Advance, Heard, Segment, Word
from xinfer.types.request import TranscribeRequest, WorkRequest

_WINDOW = 1500
"""Positions of a window, for the estimate."""
_KEPT_PROMPT = 1000
"""Characters of what was said in one piece that help with the next."""


class FasterWhisperEngine(AudioEngine[FasterWhisperOptions]):
    """Windows of 30 seconds one after the other; a cancel takes effect behind the running one."""

    packages = ("av", "ctranslate2", "faster_whisper")
    options_class = FasterWhisperOptions

    def __init__(self, spec: ModelSpec, options: FasterWhisperOptions) -> None:
        super().__init__(spec, options)
        self._model: Any = None
        self._languages: tuple[str, ...] = ()

    @classmethod
    def _refusal(cls, spec: ModelSpec) -> str:
        if spec.type != "audio" or spec.format != "ctranslate2":
            return "it runs Whisper models in CTranslate2's format only"
        return ""

    @classmethod
    def _accelerators(cls) -> frozenset[str]:
        return frozenset({"cuda"})

    @classmethod
    def estimate(cls, spec: ModelSpec, options: FasterWhisperOptions) -> Memory:
        memory = estimate(spec, context=_WINDOW, tokens_at_once=_WINDOW * options.concurrency)
        return msgspec.structs.replace(
            memory, divides=False, processors_only=options.device == "cpu"
        )

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        from xinfer.model.audio.faster_whisper.watched import WatchedModel

        options = self._options
        progress(Progress(0.1, "loading"))
        try:
            model = self._model = WatchedModel(
                self._spec.path,
                device=options.device,
                compute_type=options.compute_type,
                cpu_threads=options.threads,
                num_workers=options.concurrency,
                local_files_only=True,
            )
        except (ValueError, RuntimeError) as error:
            # CTranslate2's words, which name what is wrong: a file, a device, a compute type.
            raise InvalidRequest(f"CTranslate2 cannot load {self._spec.path}: {error}") from error
        self._languages = tuple(model.supported_languages)
        progress(Progress(1.0, "loading"))
        return Loaded(
            context_length=int(model.max_length),
            concurrency=options.concurrency,
            abilities=Abilities(cancel="step", tasks=frozenset({"audio2text"})),
            backend=model.model.device,
            details={
                "compute_type": model.model.compute_type,
                "threads": options.threads,
                "languages": sorted(self._languages),
                "word_timestamps": True,
                "max_seconds": options.max_seconds,
            },
        )

    def check(self, request: WorkRequest) -> None:
        check_transcription(
            request, languages=self._languages, translates=self._languages != ("en",)
        )

    def _work(self, request: WorkRequest, told: Report) -> Usage:
        assert isinstance(request, TranscribeRequest)
        try:
            samples = hear(request, told, most_seconds=self._options.max_seconds)
            written = self._write(request, samples, told)
            return Usage(heard_tokens(len(samples)), written)
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
            raise Unavailable(
                f"There is not enough memory to write this recording down: {error}. Launch the "
                "model with another compute_type, or on another device.",
                code="no_capacity",
            ) from error

    def _write(self, request: TranscribeRequest, samples: Samples, told: Report) -> int:
        """Report what is heard; the number of tokens that it has."""
        total = len(samples) / RATE
        written = 0
        language = language_code(request.language) if request.language else None
        prompt = request.prompt or ""
        done = 0.0

        def still_wanted() -> None:
            told(Advance(done, total))

        for start, end in pieces(samples, rate=RATE):
            piece = samples[start:end]
            segments, info = self._begin(request, piece, language, prompt, still_wanted)
            if language is None or start == 0:
                told(Heard(total, info.language, info.language_probability))
            language = info.language
            for segment in segments:
                written += len(segment.tokens)
                prompt = f"{prompt}{segment.text}"[-_KEPT_PROMPT:]
                told(_segment(segment, start / RATE, end / RATE))
                done = min(start / RATE + segment.end, total)
                still_wanted()
            if not self._options.condition_on_previous_text:
                prompt = request.prompt or ""
            done = end / RATE
        still_wanted()
        return written

    def _begin(
        self,
        request: TranscribeRequest,
        samples: Samples,
        language: str | None,
        prompt: str,
        still_wanted: Callable[[], None],
    ) -> tuple[Iterator[Any], Any]:
        """What faster-whisper makes of a piece: its segments as they come, and the language."""
        model, options = self._model, self._options
        if model is None:
            raise Cancelled("The model was unloaded.")
        model.watch(still_wanted)
        segments, info = model.transcribe(
            as_floats(samples),
            language=language,
            task="translate" if request.translate else "transcribe",
            initial_prompt=prompt or None,
            temperature=list(temperatures(request.temperature)),
            word_timestamps=request.words,
            beam_size=options.beam_size,
            vad_filter=options.vad_filter,
            condition_on_previous_text=options.condition_on_previous_text,
            compression_ratio_threshold=REPETITIVE,
            log_prob_threshold=UNLIKELY,
            no_speech_threshold=NO_SPEECH,
        )
        return segments, info

    def _release(self) -> None:
        self._model = None


def _segment(segment: Any, offset: float, end: float) -> Segment:
    """As it is in the whole recording, of a piece from `offset` to `end`."""

    def seconds(within: float) -> float:  # which may be a number of numpy's
        return round(min(offset + float(within), end), 2)

    return Segment(
        seconds(segment.start),
        seconds(segment.end),
        segment.text,
        tuple(
            Word(seconds(word.start), seconds(word.end), word.word, float(word.probability))
            for word in segment.words or ()
        ),
        tuple(segment.tokens),
        segment.temperature,
        segment.avg_logprob,
        segment.compression_ratio,
        segment.no_speech_prob,
    )
