"""A voice of Piper: a graph in .onnx, and beside it in .onnx.json what it was trained with."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from piper import PiperConfig, PiperVoice, SynthesisConfig

from xinfer.errors import InvalidRequest
from xinfer.model.audio.piper.options import PiperOptions
from xinfer.model.audio.piper.session import WatchedSession
from xinfer.model.audio.speaking.speaker import Reference

LONGEST = 300
_INPUTS = {"input", "input_lengths", "scales"}
_MARKS = "_^$"
"""What is put between, before and behind the sounds of a text."""
_READS = ("espeak", "text", "hebrew")
"""Ways to read a text that are whole with the package; others load more when they are used."""
_QUIET = 1e-8
_ABBREVIATIONS = re.compile(r"(?:[^\s.]{1,3}\.\s*){13,}")
"""Letters with dots in a row, such as no text has. Of some 35 of them espeak-ng makes a single
word, writes beyond its end, and takes the process with it."""


class Audio(msgspec.Struct, frozen=True):
    """Of a description, what is used of it."""

    sample_rate: Annotated[int, msgspec.Meta(ge=1000, le=200_000)]


class Espeak(msgspec.Struct, frozen=True):
    """Of a description, what is used of it."""

    voice: str


class Inference(msgspec.Struct, frozen=True):
    """Of a description, what is used of it."""

    noise_scale: float = 0.667
    length_scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    noise_w: float = 0.8


class Description(msgspec.Struct, frozen=True):
    """What Piper takes of a .onnx.json, in the types that it expects and does not check."""

    audio: Audio
    espeak: Espeak
    phoneme_id_map: dict[str, list[int]]
    num_symbols: int
    num_speakers: Annotated[int, msgspec.Meta(ge=0, le=100_000)]
    speaker_id_map: dict[str, int] = {}
    default_speaker_id: int = 0
    phoneme_type: str = "espeak"
    inference: Inference = Inference()


class PiperSpeaker:
    """Its voices are the speakers that the graph was trained with, where there are several."""

    own_speed = True
    clones = False
    longest = LONGEST

    def __init__(self, path: str, options: PiperOptions) -> None:
        self._options = options
        config = read_config(Path(f"{path}.json"))
        self._session = load_session(path, options)
        several = config.num_speakers > 1
        lacking = (_INPUTS | ({"sid"} if several else set())) - self._session.inputs
        if lacking:
            raise InvalidRequest(
                f"{path} is no voice of Piper: its graph takes no {', '.join(sorted(lacking))}."
            )
        self.device = self._session.device
        self.sample_rate = int(config.sample_rate)
        self._voice = PiperVoice(session=self._session, config=config)
        self._speakers = speakers(config) if several else {}
        self.voices = tuple(self._speakers)
        self._ends = len(self._voice.phonemes_to_ids([]))
        try:
            self._voice.phonemize("a")
        except RuntimeError as error:
            raise InvalidRequest(
                f"{path}.json: espeak-ng, which reads texts aloud for Piper, says of the voice "
                f"{config.espeak_voice!r}: {error}. Take a voice for another language."
            ) from None

    def speak(
        self,
        text: str,
        voice: str,
        speed: float,
        still_wanted: Callable[[], None],
        like: Reference | None = None,
    ) -> NDArray[np.float32]:
        config, options = self._voice.config, self._options
        how = SynthesisConfig(
            speaker_id=self._speakers[voice] if voice else None,
            length_scale=config.length_scale / speed,
            noise_scale=options.noise_scale,
            noise_w_scale=options.noise_w,
        )
        self._session.watch(still_wanted)
        parts = [np.zeros(0, np.float32)]
        for phonemes in self._voice.phonemize(readable(text)):
            ids = self._voice.phonemes_to_ids(phonemes)
            if len(ids) == self._ends:  # nothing but what is put around the sounds that it knows
                continue
            still_wanted()
            parts.append(_as_loud_as_can_be(self._voice.phoneme_ids_to_audio(ids, how)))
        return np.concatenate(parts)


def readable(text: str) -> str:
    """The text without what espeak-ng cannot take."""
    text = text.replace("\0", " ")
    return _ABBREVIATIONS.sub(lambda found: found[0].replace(".", " "), text)


def read_config(file: Path) -> PiperConfig:
    """What stands beside a graph.

    Raises:
        InvalidRequest: it is not there, is damaged, or needs what is not installed.
    """
    try:
        data = file.read_bytes()
        told = msgspec.json.decode(data, type=Description)
    except FileNotFoundError:
        raise InvalidRequest(
            f"A voice of Piper is two files, and {file} is not there. Copy or download it too."
        ) from None
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"Cannot read {file}: {error}.") from None
    if not set(_MARKS) <= set(told.phoneme_id_map):
        raise InvalidRequest(
            f"{file} is not of a voice of Piper: expected a phoneme_id_map with {_MARKS}."
        )
    if told.phoneme_type not in _READS:
        raise InvalidRequest(
            f"{file}: a voice that is read aloud by {told.phoneme_type[:50]} needs more than the "
            f"package piper-tts. Those that are served: {', '.join(_READS)}."
        )
    return PiperConfig.from_dict(msgspec.json.decode(data))


def load_session(path: str, options: PiperOptions) -> WatchedSession:
    """
    Raises:
        InvalidRequest: the file is no graph, or the device is not there.
    """
    providers = ["CPUExecutionProvider"]
    cuda = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if options.device == "cuda" and not cuda:
        raise InvalidRequest(
            "The installed ONNX Runtime computes on processors alone: install onnxruntime-gpu in "
            "the place of onnxruntime, or leave device out.",
            param="device",
        )
    if cuda and options.device != "cpu":
        providers.insert(0, "CUDAExecutionProvider")
    try:
        session = WatchedSession(path, providers, options.threads)
    except Exception as error:  # whatever a file makes the library raise; it has no class for them
        reason = str(error).partition("\n")[0]
        raise InvalidRequest(f"ONNX Runtime cannot load {path}: {reason}") from error
    if options.device == "cuda" and session.device != "cuda":
        raise InvalidRequest(
            "ONNX Runtime could not begin with CUDA, and would compute on processors: its log says "
            "why. Install the CUDA libraries that its version needs, or leave device out.",
            param="device",
        )
    return session


def speakers(config: PiperConfig) -> dict[str, int]:
    """Numbers of speakers by name, the default first; those without a name are called by number."""
    names = {number: name for name, number in config.speaker_id_map.items()}
    numbers = sorted(range(config.num_speakers), key=lambda one: one != config.default_speaker_id)
    return {names.get(number, str(number)): number for number in numbers}


def _as_loud_as_can_be(sound: Any) -> NDArray[np.float32]:
    """As Piper does it: voices are trained at whatever loudness."""
    samples = np.atleast_1d(np.asarray(sound, np.float32))
    peak = float(np.abs(samples).max(initial=0.0))
    return samples / peak if peak > _QUIET else np.zeros_like(samples)
