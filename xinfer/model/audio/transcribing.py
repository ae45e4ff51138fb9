"""What the engines share that write speech down."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.audio.decode import Samples, decode
from xinfer.model.audio.languages import language_code
from xinfer.types.product import Advance
from xinfer.types.request import SpeechRequest, TranscribeRequest, WorkRequest

RATE = 16000
"""Samples a second that every model of the Whisper family hears."""
MAX_PROMPT = 20_000
"""Characters."""

_PACKETS = 64
"""Of a file, between two looks at whether it is still wanted."""

FALLBACKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Temperatures that are tried one after the other where none above 0 is asked for, until the result
is neither unlikely nor one thing over and over."""
UNLIKELY = -1.0
"""Mean log-probability of a token below which a result is tried again."""
REPETITIVE = 2.4
"""How much a text can be compressed that is tried again."""
NO_SPEECH = 0.6
"""Probability from which on a window is left out, if its text is unlikely too."""


def temperatures(asked: float | None) -> tuple[float, ...]:
    """Those that are tried in turn."""
    return (asked,) if asked else FALLBACKS


def check_transcription(
    request: WorkRequest, *, languages: tuple[str, ...], translates: bool
) -> TranscribeRequest:
    """The request, if a model that writes speech down can do it.

    Args:
        languages: codes of those that the model knows; just `en` of one for English alone.
        translates: whether it translates into English.

    Raises:
        InvalidRequest: it is for another model, or asks for what this one does not do.
    """
    if not isinstance(request, TranscribeRequest):
        kind = "speaks" if isinstance(request, SpeechRequest) else "draws"
        raise InvalidRequest(
            f"This model writes speech down; the request is for one that {kind}.", param="model"
        )
    if request.translate and not translates:
        raise InvalidRequest(
            "This model does not translate: it knows "
            f"{'English' if languages == ('en',) else 'the languages that it hears'} alone. "
            "Launch a multilingual one, such as whisper-large-v3.",
            param="model",
        )
    if request.language is not None:
        code = language_code(request.language)
        if code not in languages:
            raise InvalidRequest(
                f"`language`: {request.language[:50]!r} is none that this model knows. It knows: "
                f"{', '.join(languages)}.",
                param="language",
            )
    if len(request.prompt or "") > MAX_PROMPT:
        raise InvalidRequest(f"`prompt`: expected at most {MAX_PROMPT} characters.", param="prompt")
    return request


def hear(
    request: TranscribeRequest, report: Callable[[Advance], None], *, most_seconds: float
) -> Samples:
    """The recording at `RATE`; ends early when nothing more is wanted.

    Raises:
        InvalidRequest, PayloadTooLarge: as `decode`.
        Cancelled: as `report`.
    """

    packets = itertools.count()

    def still_wanted() -> None:
        if next(packets) % _PACKETS == 0:
            report(Advance(0.0, 1.0))

    return decode(request.sound, rate=RATE, most_seconds=most_seconds, still_wanted=still_wanted)


def as_floats(samples: Samples) -> NDArray[np.float32]:
    """From -1 to 1."""
    return np.divide(samples, 32768, dtype=np.float32)


def heard_tokens(samples: int) -> int:
    """What a recording at `RATE` counts as: a token for each 0.1 seconds."""
    return -(-samples * 10 // RATE)
