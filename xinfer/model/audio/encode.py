"""Sound in the formats that are asked for, encoded while it is made."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from xinfer.errors import InvalidRequest, Unavailable

if TYPE_CHECKING:
    import numpy as np
    from av import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from numpy.typing import NDArray

PCM_RATE = 24000
"""Samples a second of `pcm`, which has no header to say it: those that OpenAI's has."""

LOWEST_RATE, HIGHEST_RATE = 8000, 48000
WAV_HEADER_BYTES = 44
_UNKNOWN_SIZE = 0xFFFFFFFF


class Format(NamedTuple):
    """How a format is written."""

    media_type: str
    container: str = ""
    """FFmpeg's name; empty for one that needs no library."""
    codec: str = ""
    bit_rate: int = 0
    options: tuple[tuple[str, str], ...] = ()


FORMATS = {
    "mp3": Format("audio/mpeg", "mp3", "libmp3lame", 96_000, (("write_xing", "0"),)),
    "wav": Format("audio/wav"),
    "flac": Format("audio/flac", "flac", "flac"),
    "opus": Format("audio/ogg", "ogg", "libopus", 48_000),
    "aac": Format("audio/aac", "adts", "aac", 96_000),
    "pcm": Format("audio/pcm"),
    "m4a": Format("audio/mp4", "ipod", "aac", 96_000, (("movflags", "frag_keyframe+empty_moov"),)),
    "webm": Format("audio/webm", "webm", "libopus", 48_000),
}
"""By OpenAI's names, and further ones that Xinference has."""
ALIASES = {"mpeg": "mp3", "ogg": "opus"}


def find_format(name: str) -> tuple[str, Format]:
    """The format of this name, and the name that it goes by.

    Raises:
        InvalidRequest: there is none; lists those there are.
        Unavailable: the library that writes it is not installed.
    """
    known = ALIASES.get(name.lower(), name.lower())
    found = FORMATS.get(known)
    if found is None:
        raise InvalidRequest(
            f"`response_format`: {name[:50]!r} is not written here. Expected one of "
            f"{', '.join(FORMATS)}.",
            param="response_format",
        )
    if found.container and find_spec("av") is None:
        raise Unavailable(
            f"`response_format`: {known} needs the package av where the API runs; it comes with "
            "`pip install 'xinfer[audio]'`. Without it there are wav and pcm.",
            code="not_installed",
        )
    return known, found


class Encoder:
    """Makes a file of sound, piece by piece. Not for several threads at once.

    Args:
        name: one of `FORMATS`.
        source_rate: of the samples that it is given.
        rate: of the file; by default `PCM_RATE` for pcm and that of the samples for all others.
            Some formats have but a few rates: the next higher one that they have is taken.

    A WAV does not say how many samples it has: its header is sent before they are made.
    """

    def __init__(self, name: str, source_rate: int, rate: int | None = None) -> None:
        self._format = FORMATS[name]
        wanted = rate or (PCM_RATE if name == "pcm" else source_rate)
        self._codec: _Codec | None = None
        self._resample: _Resample | None = None
        self._head = b""
        if self._format.container:
            self._codec = _Codec(self._format, source_rate, wanted)
            self.rate = self._codec.rate
            return
        self.rate = wanted
        if wanted != source_rate:
            self._resample = _Resample(source_rate, wanted)
        if name == "wav":
            self._head = wav_header(wanted, None)

    def feed(self, samples: NDArray[np.int16]) -> bytes:
        """What of the file is ready, with these samples; may be nothing."""
        if self._codec is not None:
            return self._codec.feed(samples)
        head, self._head = self._head, b""
        if self._resample is not None:
            samples = self._resample.feed(samples)
        return head + samples.astype("<i2").tobytes()

    def finish(self) -> bytes:
        """The rest of the file."""
        if self._codec is not None:
            return self._codec.finish()
        rest = b""
        if self._resample is not None:
            rest = self._resample.finish().astype("<i2").tobytes()
        head, self._head = self._head, b""
        return head + rest


def wav_header(rate: int, samples: int | None) -> bytes:
    """Of 16-bit sound on one channel; None for as many samples as come."""
    size = _UNKNOWN_SIZE if samples is None else 2 * samples
    riff = _UNKNOWN_SIZE if samples is None else 36 + size
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", riff, b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", size),
    )


class _Sink:
    """Where the muxer writes to; it cannot go back, since what it wrote may be sent already."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken, self._written = bytes(self._written), bytearray()
        return taken


class _Codec:
    """A file that FFmpeg's libraries write."""

    def __init__(self, written: Format, source_rate: int, wanted: int) -> None:
        import av

        self._sink = _Sink()
        self._file: OutputContainer = av.open(
            self._sink, "w", format=written.container, options=dict(written.options)
        )
        self.rate = _rate_of(written.codec, wanted)
        self._stream: AudioStream = self._file.add_stream(written.codec, rate=self.rate)
        self._stream.layout = "mono"
        if written.bit_rate:
            self._stream.bit_rate = written.bit_rate
        self._source_rate = source_rate
        self._at = 0

    def feed(self, samples: NDArray[np.int16]) -> bytes:
        if len(samples):
            frame = _frame(samples, self._source_rate, self._at)
            self._at += len(samples)
            for packet in self._stream.encode(frame):
                self._file.mux(packet)
        return self._sink.take()

    def finish(self) -> bytes:
        for packet in self._stream.encode(None):
            self._file.mux(packet)
        self._file.close()
        return self._sink.take()


class _Resample:
    """The same sound with another number of samples a second."""

    def __init__(self, source_rate: int, rate: int) -> None:
        try:
            import av
        except ImportError:
            raise Unavailable(
                f"The model speaks at {source_rate} samples a second; making that {rate} needs the "
                "package av where the API runs. It comes with `pip install 'xinfer[audio]'`.",
                code="not_installed",
            ) from None
        self._source_rate = source_rate
        self._made = av.AudioResampler(format="s16", layout="mono", rate=rate)
        self._at = 0

    def feed(self, samples: NDArray[np.int16]) -> NDArray[np.int16]:
        if not len(samples):
            return samples
        frame = _frame(samples, self._source_rate, self._at)
        self._at += len(samples)
        return _joined(one.to_ndarray()[0] for one in self._made.resample(frame))

    def finish(self) -> NDArray[np.int16]:
        if not self._at:
            return _joined(iter(()))
        return _joined(one.to_ndarray()[0] for one in self._made.resample(None))


def _joined(parts: Iterator[NDArray[np.int16]]) -> NDArray[np.int16]:
    import numpy as np

    return np.concatenate([np.zeros(0, np.int16), *parts])


def _frame(samples: NDArray[np.int16], rate: int, at: int) -> AudioFrame:
    from fractions import Fraction

    import av
    import numpy as np

    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(samples[None]), format="s16", layout="mono"
    )
    frame.sample_rate = rate
    frame.time_base = Fraction(1, rate)
    frame.pts = at
    return frame


def _rate_of(codec: str, wanted: int) -> int:
    """The next rate that the codec has."""
    import av

    rates = av.codec.Codec(codec, "w").audio_rates
    if not rates:
        return wanted
    return int(min((rate for rate in rates if rate >= wanted), default=max(rates)))
