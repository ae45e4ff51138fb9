"""The bodies of routes that write speech down, and that speak."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasChoices, BeforeValidator, Field

from xinfer.api.forms import FormBool, FormFile, FormFloat, FormInt, several
from xinfer.api.schemas.base import Body, Neutral, only
from xinfer.errors import InvalidRequest
from xinfer.model.audio.encode import HIGHEST_RATE, LOWEST_RATE
from xinfer.types.request import Media, SpeechRequest, TranscribeRequest

TextFormat = Literal["json", "text", "srt", "vtt", "verbose_json"]
Granularity = Literal["word", "segment"]


def _empty_is_none(value: Any) -> Any:
    """Fields of a form that its sender has no value for are often sent empty."""
    return None if value in ("", [""]) else value


empty_is_none = BeforeValidator(_empty_is_none)


class AudioBody(Body):
    """The model, and what every request has."""

    model: str = Field(min_length=1, max_length=200, description="Uid of a running model.")
    request_id: str | None = Field(
        None, description="Handle for the abort route; wins over the X-Request-Id header."
    )
    user: str | None = None


class TranscriptionBody(AudioBody):
    """A recording to be written down, in its language or in English."""

    file: FormFile
    language: Annotated[str | None, empty_is_none] = Field(
        None, max_length=50, description="What is spoken; found out where it is not said."
    )
    prompt: Annotated[str | None, empty_is_none] = Field(
        None, description="Text that the recording goes on behind."
    )
    response_format: Annotated[TextFormat | None, empty_is_none] = None
    temperature: Annotated[FormFloat | None, empty_is_none] = Field(
        None, ge=0, le=1, description="0, or none: as low as gives a likely text."
    )
    timestamp_granularities: Annotated[list[Granularity] | None, several, empty_is_none] = Field(
        None,
        validation_alias=AliasChoices("timestamp_granularities[]", "timestamp_granularities"),
        description="With verbose_json: what is told with its times.",
    )
    stream: Annotated[FormBool | None, empty_is_none] = None
    include: Annotated[list[str] | None, several, empty_is_none] = Field(
        None, validation_alias=AliasChoices("include[]", "include")
    )
    chunking_strategy: Any = None

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        "include": only([]),
        "chunking_strategy": only("", "auto"),
    }

    @property
    def format(self) -> TextFormat:
        return self.response_format or "json"

    @property
    def granularities(self) -> frozenset[Granularity]:
        """What is told with its times, in `verbose_json`."""
        return frozenset(self.timestamp_granularities or ("segment",))

    def request(self, *, translate: bool) -> TranscribeRequest:
        """What the model is asked.

        Raises:
            InvalidRequest: parameters do not go together.
        """
        if self.stream and self.format not in ("json", "text"):
            raise InvalidRequest(
                f"`stream`: a stream tells text alone; response_format {self.format} needs a whole "
                "answer. Leave one of them out.",
                param="stream",
            )
        return TranscribeRequest(
            sound=Media(self.file.data, "file"),
            language=self.language,
            prompt=self.prompt,
            temperature=self.temperature,
            translate=translate,
            words=self.format == "verbose_json" and "word" in self.granularities,
        )


class SpeechBody(AudioBody):
    """A text to be spoken."""

    input: str
    voice: Annotated[str | None, empty_is_none] = Field(
        None, max_length=200, description="One of the model's voices; its default by default."
    )
    response_format: Annotated[str | None, empty_is_none] = Field(
        None, max_length=50, description="mp3, wav, flac, opus, aac, pcm, m4a or webm."
    )
    speed: FormFloat | None = Field(None, ge=0.25, le=4)
    stream: FormBool | None = None
    stream_format: Literal["audio", "sse"] | None = Field(
        None, description="With stream: the sound itself, or OpenAI's events with it."
    )
    sample_rate: FormInt | None = Field(
        None,
        ge=LOWEST_RATE,
        le=HIGHEST_RATE,
        description="Samples a second; by default the model's own, and 24000 for pcm.",
    )
    instructions: Annotated[str | None, empty_is_none] = None
    prompt_speech: FormFile | None = Field(
        None, description="A recording of the voice to speak with, where the model clones voices."
    )
    prompt_text: Annotated[str | None, empty_is_none] = Field(
        None, description="What is said in it."
    )
    prompt_latent: FormFile | None = None

    unsupported: ClassVar[Mapping[str, Neutral]] = {"prompt_latent": only()}

    @property
    def streamed(self) -> bool:
        return self.stream is True or self.stream_format is not None

    def request(self) -> SpeechRequest:
        """What the model is asked."""
        speech = self.prompt_speech
        return SpeechRequest(
            text=self.input,
            voice=self.voice or "",
            speed=1.0 if self.speed is None else self.speed,
            instructions=self.instructions or "",
            reference=Media(speech.data, "prompt_speech") if speech is not None else None,
            reference_text=self.prompt_text or "",
        )
