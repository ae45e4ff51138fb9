"""Recordings as clients send them, decoded by PyAV within bounds that no header can move.

FFmpeg's libraries are given the bytes alone, and only formats that cannot name another file: what
would make them open a path or an address, such as a playlist, is not among them.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest, PayloadTooLarge
from xinfer.model.audio.boxes import check_boxes
from xinfer.model.audio.sniff import describe
from xinfer.types.request import Media

if TYPE_CHECKING:
    from av import AudioFrame
    from av.container import InputContainer

FORMATS = (
    *("aac", "ac3", "aiff", "amr", "amrnb", "amrwb", "asf", "au", "avi", "caf", "flac", "flv"),
    *("matroska", "mov", "mp3", "mpeg", "mpegts", "ogg", "w64", "wav", "wv"),
)
"""FFmpeg's names of containers that hold what they say, and refer to nothing else."""

_OPTIONS = {
    "format_whitelist": ",".join(FORMATS),
    "protocol_whitelist": "none",
    "probesize": str(1 << 20),
    "analyzeduration": str(5_000_000),  # microseconds
}
_MAX_CHANNELS = 64
_RATES = range(1000, 768_001)
"""Samples a second that a file may have: of fewer, a few bytes are made into hours, and for more
the filter that leaves most of them out is so long that making it holds everything up."""
_BARREN_PACKETS = 10_000
"""Packets in a row that hold no sound, after which nothing more is expected."""

Samples = NDArray[np.int16]
"""(samples,) of one channel."""


def decode(
    media: Media, *, rate: int, most_seconds: float, still_wanted: Callable[[], None]
) -> Samples:
    """The first audio stream of a file, as one channel of `rate` samples a second.

    Memory is that of the samples, two bytes each, whatever the file claims of itself.

    Args:
        most_seconds: of sound; counted while decoding.
        still_wanted: called now and then; what it raises ends the decoding.

    Raises:
        InvalidRequest: it is no recording, or none that can be read; says what came.
        PayloadTooLarge: it is longer than that, or claims to consist of more than it has.
    """
    most = int(most_seconds * rate)
    blocks: list[Samples] = []
    taken = 0
    for block in _blocks(media, rate, most_seconds, still_wanted):
        taken += len(block)
        if taken > most:
            raise _too_long(media, most_seconds)
        blocks.append(block)
    if not taken:
        raise InvalidRequest(
            f"{media.where}: the recording has no sound in it that can be decoded.",
            code="invalid_audio",
            param=media.where,
        )
    return np.concatenate(blocks)


def _too_long(media: Media, most_seconds: float) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"{media.where}: the recording is longer than {most_seconds:g} seconds, which is the limit "
        "of this model's launch (max_seconds). Send it in parts.",
        param=media.where,
    )


def _blocks(
    media: Media, rate: int, most_seconds: float, still_wanted: Callable[[], None]
) -> Iterator[Samples]:
    import av

    check_boxes(media)
    try:
        with av.open(io.BytesIO(media.data), options=_OPTIONS, metadata_errors="ignore") as opened:
            yield from _resampled(opened, media, rate, most_seconds, still_wanted)
    except (av.FFmpegError, EOFError, ValueError) as error:
        raise InvalidRequest(
            f"{media.where}: cannot be read as a recording: it {describe(media.data)}. Expected "
            "sound, such as WAV, MP3, FLAC, Ogg, M4A or WebM.",
            code="invalid_audio",
            param=media.where,
        ) from error


def _resampled(
    opened: InputContainer,
    media: Media,
    rate: int,
    most_seconds: float,
    still_wanted: Callable[[], None],
) -> Iterator[Samples]:
    import av

    if not opened.streams.audio:
        raise InvalidRequest(
            f"{media.where}: the file ({opened.format.name}) has no audio stream.",
            code="invalid_audio",
            param=media.where,
        )
    resampler: av.AudioResampler | None = None
    shape: object = None
    for frame in _frames(opened, still_wanted):
        if frame.layout.nb_channels > _MAX_CHANNELS:
            raise InvalidRequest(
                f"{media.where}: the recording has {frame.layout.nb_channels} channels; expected "
                f"at most {_MAX_CHANNELS}.",
                code="invalid_audio",
                param=media.where,
            )
        if frame.sample_rate not in _RATES:
            raise InvalidRequest(
                f"{media.where}: the recording has {frame.sample_rate} samples a second; expected "
                f"{_RATES[0]} to {_RATES[-1]}.",
                code="invalid_audio",
                param=media.where,
            )
        if frame.samples > most_seconds * frame.sample_rate:  # before it is made into more of them
            raise _too_long(media, most_seconds)
        frame.pts = None  # what a file says of the time is not needed, and may be anything
        now = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or now != shape:  # which files may change as they go on
            if resampler is not None:
                yield from map(_samples, resampler.resample(None))
            resampler, shape = av.AudioResampler(format="s16", layout="mono", rate=rate), now
        yield from map(_samples, resampler.resample(frame))
    if resampler is not None:
        yield from map(_samples, resampler.resample(None))


def _frames(opened: InputContainer, still_wanted: Callable[[], None]) -> Iterator[AudioFrame]:
    """The sound up to the end, or to where the file is damaged: what came before it counts."""
    import av

    barren = heard = 0
    for packet in opened.demux(opened.streams.audio[0]):
        still_wanted()
        try:
            frames: list[Any] = list(packet.decode())
        except av.FFmpegError:
            frames = []  # a damaged packet, as a recording that was cut off begins or ends with
        if frames:
            barren, heard = 0, heard + 1
            yield from frames
            continue
        barren += 1
        if barren > _BARREN_PACKETS:
            return


def _samples(frame: AudioFrame) -> Samples:
    return np.asarray(frame.to_ndarray()[0], np.int16)
