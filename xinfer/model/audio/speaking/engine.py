"""Text to speech on any library: a sentence at a time, each a sound as soon as it is made."""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import Cancelled, InvalidRequest, PayloadTooLarge
from xinfer.model.audio.decode import decode
from xinfer.model.audio.engine import AudioEngine, Options
from xinfer.model.audio.speaking.sentences import sentences
from xinfer.model.audio.speaking.speaker import Reference, Speaker
from xinfer.model.audio.speaking.tempo import FASTEST, SLOWEST, with_tempo
from xinfer.model.work_engine import Report
from xinfer.types.event import Usage
from xinfer.types.model import Abilities, Loaded, ModelSpec, Progress
from xinfer.types.product import Advance, Sound
from xinfer.types.request import SpeechRequest, WorkRequest

MAX_TEXT = 20_000
"""Characters."""
MAX_REFERENCE = 30.0
"""Seconds of a recording of the voice to speak with."""
MAX_REFERENCE_TEXT = 1000
"""Characters that are said in it."""
_PACKETS = 64
"""Of a file, between two looks at whether it is still wanted."""


class SpeakingEngine(AudioEngine[Options]):
    """One request at a time: models keep what they are told of speed and chance."""

    def __init__(self, spec: ModelSpec, options: Options) -> None:
        super().__init__(spec, options)
        self._speaker: Speaker | None = None

    def load(self, progress: Callable[[Progress], None]) -> Loaded:
        progress(Progress(0.1, "loading"))
        speaker = self._speaker = self._load_speaker()
        progress(Progress(1.0, "loading"))
        return Loaded(
            context_length=MAX_TEXT,
            concurrency=1,
            abilities=Abilities(cancel="step", tasks=frozenset({"text2audio"})),
            backend=speaker.device,
            details={
                "voices": list(speaker.voices),
                "sample_rate": speaker.sample_rate,
                **self._details(),
            },
        )

    @abstractmethod
    def _load_speaker(self) -> Speaker:
        """As `Engine.load`."""

    @abstractmethod
    def _details(self) -> dict[str, object]:
        """Additional facts of the loaded model."""

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
        _check_reference(request, clones=speaker is not None and speaker.clones)
        if request.instructions:
            raise InvalidRequest(
                "This model takes no instructions on how to speak: leave `instructions` out.",
                code="unsupported_parameter",
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
        if speaker is not None:  # a stream of sound that has begun cannot tell what is wrong
            self._reference(speaker, request, lambda _: None)

    def _work(self, request: WorkRequest, told: Report) -> Usage:
        assert isinstance(request, SpeechRequest)
        speaker = self._speaker
        if speaker is None:
            raise Cancelled("The model was unloaded.")
        self._speak(speaker, request, told)
        return Usage(len(request.text))

    def _speak(self, speaker: Speaker, request: SpeechRequest, told: Report) -> None:
        pieces = sentences(request.text, longest=speaker.longest)
        voice = request.voice or (speaker.voices[0] if speaker.voices else "")
        own = request.speed if speaker.own_speed else 1.0
        like = self._reference(speaker, request, told)
        said = False
        for number, piece in enumerate(pieces):
            still_wanted = partial(told, Advance(number, len(pieces)))
            still_wanted()
            sound = speaker.speak(piece, voice, own, still_wanted, like)
            if speaker.clones and like is None and len(sound):
                like = Reference(piece, sound)  # so that what follows is in the same voice
            samples = to_samples(sound)
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

    def _reference(
        self, speaker: Speaker, request: SpeechRequest, told: Report
    ) -> Reference | None:
        if request.reference is None:
            return None
        packets = itertools.count()

        def still_wanted() -> None:
            if next(packets) % _PACKETS == 0:
                told(Advance(0.0, 1.0))

        try:
            heard = decode(
                request.reference,
                rate=speaker.sample_rate,
                most_seconds=MAX_REFERENCE,
                still_wanted=still_wanted,
            )
        except PayloadTooLarge:
            raise PayloadTooLarge(
                f"{request.reference.where}: a recording of the voice to speak with may last "
                f"{MAX_REFERENCE:g} seconds. Send a part of it.",
                param=request.reference.where,
            ) from None
        return Reference(request.reference_text, np.divide(heard, 32768, dtype=np.float32))

    def _release(self) -> None:
        self._speaker = None


def _check_reference(request: SpeechRequest, *, clones: bool) -> None:
    """Refuse what is said of a voice to speak with, where it is not whole or of no use."""
    if request.reference is None and not request.reference_text:
        return
    if not clones:
        raise InvalidRequest(
            "This model does not clone voices: leave prompt_speech, prompt_latent and "
            "prompt_text out.",
            code="unsupported_parameter",
            param="prompt_text" if request.reference is None else "prompt_speech",
        )
    if request.reference is None:
        raise InvalidRequest(
            "`prompt_text` is what is said in a recording: give that as `prompt_speech` too.",
            param="prompt_speech",
        )
    if not 0 < len(request.reference_text.strip()) <= MAX_REFERENCE_TEXT:
        raise InvalidRequest(
            "This model has to know what is said in `prompt_speech`: give it as `prompt_text`, in "
            f"1 to {MAX_REFERENCE_TEXT} characters.",
            param="prompt_text",
        )


def to_samples(sound: NDArray[np.float32]) -> NDArray[np.int16]:
    """Of 16 bits; what is beyond -1 and 1 is cut off."""
    whole = np.nan_to_num(sound) * 32767
    return np.clip(np.rint(whole), -32768, 32767).astype(np.int16)
