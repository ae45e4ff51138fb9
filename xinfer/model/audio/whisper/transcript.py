"""A recording written down window by window."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from xinfer.model.audio.decode import Samples
from xinfer.model.audio.languages import language_code
from xinfer.model.audio.transcribing import (
    NO_SPEECH,
    RATE,
    UNLIKELY,
    as_floats,
    heard_tokens,
    temperatures,
)
from xinfer.model.audio.whisper.alignment import align
from xinfer.model.audio.whisper.decoding import Decoder, Written
from xinfer.model.audio.whisper.vocabulary import Vocabulary
from xinfer.model.audio.whisper.windows import Stretch, split
from xinfer.model.work_engine import Report
from xinfer.types.event import Usage
from xinfer.types.product import Advance, Heard, Segment, Word
from xinfer.types.request import TranscribeRequest

if TYPE_CHECKING:
    from torch import Tensor

_LOOK_AFTER = 0.1
"""Seconds between two looks at whether the transcript is still wanted."""
_LEAST = RATE // 10
"""Samples of a rest in which nothing is said any more."""
_PROMPT_KEPT_UP_TO = 0.5
"""Temperature above which a window's text does not help with the next one."""


class Transcriber:
    """The loaded model with what prepares its input.

    Args:
        extractor: Transformers' `WhisperFeatureExtractor` of the model.
        conditioned: whether a window's text helps with the next one.
    """

    def __init__(
        self, model: Any, extractor: Any, vocabulary: Vocabulary, *, conditioned: bool
    ) -> None:
        self._model = model
        self._extractor = extractor
        self._vocabulary = vocabulary
        self._conditioned = conditioned
        self._window = int(extractor.chunk_length) * RATE

    def write(self, samples: Samples, request: TranscribeRequest, report: Report) -> Usage:
        """Report what is heard, segment by segment.

        Args:
            samples: at `RATE`.

        Raises:
            Cancelled: as `report`.
        """
        import torch

        vocabulary = self._vocabulary
        total = len(samples) / RATE
        at = 0
        looked = 0.0

        def still_wanted() -> None:
            nonlocal looked
            now = time.monotonic()
            if now - looked >= _LOOK_AFTER:  # it is called for each token
                looked = now
                report(Advance(at / RATE, total))

        generator = torch.Generator().manual_seed(0)
        decoder = Decoder(self._model, vocabulary, generator, still_wanted)
        before = vocabulary.encode(f" {request.prompt.strip()}") if request.prompt else []
        language = language_code(request.language) if request.language else ""
        written = 0
        with torch.inference_mode():
            while at == 0 or len(samples) - at > _LEAST:
                still_wanted()
                sound = samples[at : at + self._window]
                seconds = len(sound) / RATE
                states = self._encode(sound)
                if at == 0:
                    language = self._begin(decoder, states, language, total, report)
                opening = vocabulary.opening(language, translate=request.translate)
                asked = temperatures(request.temperature)
                made = decoder.write(states, opening, before, asked)
                if made.no_speech_prob > NO_SPEECH and made.avg_logprob < UNLIKELY:
                    at += len(sound)
                    continue
                parts = split(made.tokens, vocabulary, seconds=seconds)
                words = (
                    self._words(states, opening, parts.stretches, language, seconds)
                    if request.words
                    else [()] * len(parts.stretches)
                )
                for segment in self._segments(made, parts.stretches, words, at / RATE):
                    written += len(segment.tokens)
                    report(segment)
                at += min(len(sound), max(1, round(parts.taken * RATE)))
                if self._conditioned and made.temperature <= _PROMPT_KEPT_UP_TO:
                    before += [token for part in parts.stretches for token in part.tokens]
                else:
                    before = []
        report(Advance(total, total))
        return Usage(heard_tokens(len(samples)), written)

    def _begin(
        self, decoder: Decoder, states: Tensor, language: str, total: float, report: Report
    ) -> str:
        """Settle what language it is in, and tell."""
        probability = 1.0
        if not self._vocabulary.multilingual:
            language = "en"
        elif not language:
            language, probability = decoder.language(states)
        report(Heard(total, language, probability))
        return language

    def _encode(self, sound: Samples) -> Tensor:
        """(1, positions, width)."""
        made = self._extractor(as_floats(sound), sampling_rate=RATE, return_tensors="pt")
        features = made.input_features.to(self._model.device, self._model.dtype)
        states: Tensor = self._model.model.encoder(features).last_hidden_state
        return states

    def _words(
        self,
        states: Tensor,
        opening: Sequence[int],
        stretches: Sequence[Stretch],
        language: str,
        seconds: float,
    ) -> list[tuple[Word, ...]]:
        """The words of each stretch; seconds since the window's start."""
        text = [token for part in stretches for token in part.tokens]
        aligned = iter(
            align(
                self._model,
                self._vocabulary,
                states,
                opening,
                text,
                language=language,
                seconds=seconds,
            )
        )
        words: list[tuple[Word, ...]] = []
        over = 0  # tokens of a word that reaches into the next stretch
        for part in stretches:
            own: list[Word] = []
            left = len(part.tokens) - over
            while left > 0:
                word, count = next(aligned)
                own.append(word)
                left -= count
            over = -left
            words.append(fitted(own, part.start, part.end))
        return words

    def _segments(
        self,
        made: Written,
        stretches: Sequence[Stretch],
        words: Sequence[tuple[Word, ...]],
        offset: float,
    ) -> Iterator[Segment]:
        for part, own in zip(stretches, words, strict=True):
            text = self._vocabulary.decode(part.tokens)
            if not text.strip():
                continue
            yield Segment(
                round(offset + part.start, 2),
                round(offset + part.end, 2),
                text,
                tuple(
                    Word(
                        round(offset + word.start, 2),
                        round(offset + word.end, 2),
                        word.text,
                        word.probability,
                    )
                    for word in own
                ),
                tuple(part.tokens),
                made.temperature,
                made.avg_logprob,
                made.compression_ratio,
                made.no_speech_prob,
            )


def fitted(words: Sequence[Word], start: float, end: float) -> tuple[Word, ...]:
    """Words within their segment, whose times the model wrote itself: cut off at its ends; or,
    where attention saw them elsewhere, one after the other in equal parts."""
    if not words:
        return ()
    if words[0].start >= end or words[-1].end <= start:
        part = (end - start) / len(words)
        return tuple(
            Word(start + number * part, start + (number + 1) * part, one.text, one.probability)
            for number, one in enumerate(words)
        )
    return tuple(
        Word(
            min(max(one.start, start), end),
            min(max(one.end, start), end),
            one.text,
            one.probability,
        )
        for one in words
    )
