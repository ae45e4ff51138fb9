"""The engine for models that speak, in Hugging Face's format, on PyTorch."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import Cancelled, InvalidRequest
from xinfer.model.audio.speech.options import SpeechOptions
from xinfer.model.audio.speech.sentences import sentences
from xinfer.model.audio.speech.speaker import Speaker
from xinfer.model.audio.speech.tempo import FASTEST, SLOWEST, with_tempo
from xinfer.model.audio.torch_place import LESS_AT_ONCE, Place, choose_place, undivided
from xinfer.model.engine import EngineOptions, Support
from xinfer.model.memory import estimate
from xinfer.model.torch_build import torch_accelerators
from xinfer.model.torch_device import memory_errors
from xinfer.model.work_engine import Report
from xinfer.types.event import Usage
from xinfer.types.model import Abilities, EngineStats, Loaded, Memory, ModelSpec, Progress
from xinfer.types.product import Advance, Product, Sound
from xinfer.types.request import SpeechRequest, WorkRequest

PACKAGES = ("av", "torch", "transformers")
VITS, SPEECHT5 = "VitsModel", "SpeechT5ForTextToSpeech"
MAX_TEXT = 20_000
"""Characters."""
_TOKENS = 500
"""Of a sentence, for the estimate."""


class SpeechEngine:
    """A sentence at a time; a cancel takes effect with the next step of the model."""

    def __init__(self, spec: ModelSpec, options: SpeechOptions) -> None:
        self._spec = spec
        self._options = options
        self._speaker: Speaker | None = None
        self._closing = threading.Event()
        self._running = 0

    @classmethod
    def support(cls, spec: ModelSpec) -> Support:
        if spec.type != "audio" or "text2audio" not in spec.abilities:
            return Support(False, "it runs audio models that speak only")
        if spec.format not in ("", "pytorch"):
            return Support(False, "it runs models in Hugging Face's format (pytorch) only")
        if spec.architecture not in (VITS, SPEECHT5):
            known = spec.architecture or spec.family or "this model"
            return Support(False, f"it runs VITS, MMS and SpeechT5, not {known}")
        needed = (*PACKAGES, "sentencepiece") if spec.architecture == SPEECHT5 else PACKAGES
        missing = [package for package in needed if find_spec(package) is None]
        if missing:
            return Support(False, f"{', '.join(missing)} is not installed", "audio")
        return Support(True)

    @classmethod
    def options(cls) -> type[EngineOptions]:
        return SpeechOptions

    @classmethod
    def accelerators(cls) -> frozenset[str] | None:
        if any(find_spec(package) is None for package in PACKAGES):
            return None
        return torch_accelerators()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: SpeechOptions) -> Memory:
        return undivided(estimate(spec, context=_TOKENS, tokens_at_once=_TOKENS))

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        import torch

        torch.set_num_threads(self._options.threads)
        place = choose_place(self._options.device, self._options.torch_dtype)
        progress(Progress(0.1, "loading"))
        with memory_errors(f"for {self._spec.path}. {LESS_AT_ONCE}"):
            speaker = self._speaker = self._load_speaker(place)
        progress(Progress(1.0, "loading"))
        return Loaded(
            context_length=MAX_TEXT,
            concurrency=1,  # the models keep what they are told of speed and chance
            abilities=Abilities(cancel="step", tasks=frozenset({"text2audio"})),
            backend=place.device,
            details={
                "threads": self._options.threads,
                "voices": list(speaker.voices),
                "sample_rate": speaker.sample_rate,
            },
        )

    def _load_speaker(self, place: Place) -> Speaker:
        path, options = self._spec.path, self._options
        if self._spec.architecture == SPEECHT5:
            from xinfer.model.audio.speech.speecht5 import SpeechT5Speaker

            return SpeechT5Speaker(path, place, vocoder=options.vocoder, voices=options.voices)
        from xinfer.model.audio.speech.vits import VitsSpeaker

        return VitsSpeaker(path, place)

    def check(self, request: WorkRequest) -> None:
        if not isinstance(request, SpeechRequest):
            raise InvalidRequest(
                "This model speaks; the request is for one that draws or writes speech down.",
                param="model",
            )
        speaker = self._speaker
        voices = speaker.voices if speaker is not None else ()
        if request.voice and request.voice not in voices:
            raise InvalidRequest(
                f"`voice`: the model has no voice {request.voice[:50]!r}. "
                + (
                    f"It has: {', '.join(voices)}."
                    if voices
                    else "It has one voice, without a name: leave `voice` empty."
                ),
                param="voice",
            )
        if request.reference is not None or request.reference_text:
            raise InvalidRequest(
                "This model does not clone voices: leave prompt_speech, prompt_latent and "
                "prompt_text out.",
                param="prompt_speech",
            )
        if request.instructions:
            raise InvalidRequest(
                "This model takes no instructions on how to speak: leave `instructions` out.",
                param="instructions",
            )
        if not SLOWEST <= request.speed <= FASTEST:
            raise InvalidRequest(
                f"`speed`: {request.speed:g} is not between {SLOWEST} and {FASTEST:g}.",
                param="speed",
            )
        if not request.text.strip() or len(request.text) > MAX_TEXT:
            raise InvalidRequest(
                f"`input`: expected text of 1 to {MAX_TEXT} characters.", param="input"
            )

    def work(self, request: WorkRequest, report: Report) -> Usage:
        import torch

        assert isinstance(request, SpeechRequest)
        speaker = self._speaker
        if speaker is None:
            raise Cancelled("The model was unloaded.")

        def told(product: Product) -> None:
            if self._closing.is_set():
                raise Cancelled("The model was unloaded.")
            report(product)

        self._running += 1
        try:
            torch.manual_seed(0 if request.seed is None else request.seed)
            with memory_errors(f"to speak this text. {LESS_AT_ONCE}"):
                self._speak(speaker, request, told)
        finally:
            self._running -= 1
        return Usage(len(request.text))

    def _speak(self, speaker: Speaker, request: SpeechRequest, told: Report) -> None:
        pieces = sentences(request.text, longest=speaker.longest)
        voice = request.voice or (speaker.voices[0] if speaker.voices else "")
        own = request.speed if speaker.own_speed else 1.0
        said = False
        for number, piece in enumerate(pieces):
            still_wanted = partial(told, Advance(number, len(pieces)))
            still_wanted()
            samples = to_samples(speaker.speak(piece, voice, own, still_wanted))
            said = said or len(samples) > 0
            if not speaker.own_speed:
                samples = with_tempo(samples, speaker.sample_rate, request.speed)
            if len(samples):
                told(Sound(samples.astype("<i2").tobytes(), speaker.sample_rate))
        if not said:
            raise InvalidRequest(
                "`input`: there is nothing in this text that the model can say: it knows none of "
                "its characters.",
                param="input",
            )

    def stats(self) -> EngineStats:
        return EngineStats(running=self._running)

    def close(self) -> None:
        self._closing.set()
        self._speaker = None


def to_samples(sound: NDArray[np.float32]) -> NDArray[np.int16]:
    """Of 16 bits; what is beyond -1 and 1 is cut off."""
    whole = np.nan_to_num(sound) * 32767
    return np.clip(np.rint(whole), -32768, 32767).astype(np.int16)
