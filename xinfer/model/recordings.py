"""The bounds of a recording in a conversation, held against its headers before it is decoded.

Only WAV and MP3, of which the length can be told without decoding. Nothing that a header says of
the length is trusted: decoders allocate by it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from xinfer.errors import InvalidRequest, PayloadTooLarge
from xinfer.types.request import Media

MAX_BYTES = 20 << 20
"""Of one recording, as it was sent."""
MAX_SECONDS = 1800
"""Of one recording; decoded, it takes 64 kB a second."""

_RATES = range(4000, 192_001)
_CHANNELS = range(1, 9)
_FORMATS = (1, 3, 6, 7, 0xFFFE)
"""Of WAV: PCM as integers and floats, A-law, mu-law, and what names one of them further on."""

_BITRATES = {
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""kbit/s of MP3's layer III, by whether it is MPEG 1."""
_SAMPLE_RATES = (44100, 48000, 32000)
"""Of MPEG 1, in Hz; MPEG 2 has half of each, MPEG 2.5 a quarter."""
_SPARE_FRAMES = 16
"""So many more than there are may be told in a file's first frame."""


class BadRecording(Exception):
    """A verb phrase that says what is wrong."""


def check_recording(medium: Media) -> None:
    """Refuse what would take too much to decode.

    Raises:
        InvalidRequest: neither WAV nor MP3, or damaged; names the part.
        PayloadTooLarge: too many bytes or too long.
    """
    where, size = medium.where, len(medium.data)
    if size > MAX_BYTES:
        raise PayloadTooLarge(
            f"The recording in {where} has {size} bytes; at most {MAX_BYTES} are accepted. Send "
            "it shorter, or as MP3.",
            param=where,
        )
    try:
        seconds = _seconds(medium.data)
    except BadRecording as error:
        raise InvalidRequest(f"The recording in {where} {error}.", param=where) from None
    if seconds > MAX_SECONDS:
        raise PayloadTooLarge(
            f"The recording in {where} is longer than the {MAX_SECONDS} seconds that are "
            "accepted. Send a part of it.",
            param=where,
        )


def _seconds(data: bytes) -> float:
    """How long it is; only that it is too long, where it is.

    Raises:
        BadRecording: it is neither WAV nor MP3, or damaged.
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return _wav_seconds(data)
    if data[:3] == b"ID3" or (len(data) > 1 and data[0] == 0xFF and data[1] & 0xE0 == 0xE0):
        return _mp3_seconds(data)
    raise BadRecording("is neither WAV nor MP3, which are read here")


def _wav_seconds(data: bytes) -> float:
    width = rate = 0
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8
        if size > len(data) - at:
            raise BadRecording(
                f"is damaged: a part of it is said to have {size} bytes, and {len(data) - at} are "
                "left"
            )
        if name == b"fmt ":
            if size < 16:
                raise BadRecording("is damaged: its header is too short")
            kind, channels, rate, _, width, bits = struct.unpack_from("<HHIIHH", data, at)
            if kind not in _FORMATS:
                raise BadRecording(f"is WAV of a kind ({kind}) that is not read here; send PCM")
            sane = channels in _CHANNELS and rate in _RATES and bits in (8, 16, 24, 32, 64)
            if not sane or width != channels * bits // 8:
                raise BadRecording(
                    f"is damaged: its header tells of {channels} channels with {bits} bits at "
                    f"{rate} Hz"
                )
        elif name == b"data":
            if not width:
                raise BadRecording("is damaged: samples come before its header")
            return size / (width * rate)
        at += size + size % 2
    raise BadRecording("has no samples")


def _mp3_seconds(data: bytes) -> float:
    seconds, frames, told = 0.0, 0, 0
    for start, size, duration in _mp3_frames(data):
        if not frames:
            told = _told_frames(data[start : start + size])
        frames += 1
        seconds += duration
        if seconds > MAX_SECONDS:
            return seconds
    if not frames:
        raise BadRecording("is damaged: it begins as MP3 does, and has none of it")
    if told > frames + _SPARE_FRAMES:
        raise BadRecording(f"is damaged: it is said to have {told} frames, and has {frames}")
    return seconds


def _mp3_frames(data: bytes) -> Iterator[tuple[int, int, float]]:
    """Where each frame begins, its bytes, and its seconds; what is between them is left out.

    Raises:
        BadRecording: a frame does not say how long it is.
    """
    at = 0
    if data[:3] == b"ID3" and len(data) >= 10:
        size = 0
        for byte in data[6:10]:
            size = size << 7 | byte & 0x7F
        at = 10 + size
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        version, layer = data[at + 1] >> 3 & 3, data[at + 1] >> 1 & 3
        bitrate, rate = data[at + 2] >> 4, data[at + 2] >> 2 & 3
        if data[at + 1] & 0xE0 != 0xE0 or version == 1 or layer != 1 or bitrate == 15 or rate == 3:
            at += 1
            continue
        if bitrate == 0:
            raise BadRecording("is MP3 of no fixed bitrate, which is not read here")
        first = version == 3
        hertz = _SAMPLE_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
        samples = 1152 if first else 576
        kilobits = _BITRATES[first][bitrate - 1]
        size = samples // 8 * kilobits * 1000 // hertz + (data[at + 2] >> 1 & 1)
        yield at, size, samples / hertz
        at += size


def _told_frames(frame: bytes) -> int:
    """The number of frames that the first one tells, where it does; 0 where not."""
    for mark, flagged in ((b"Xing", True), (b"Info", True), (b"VBRI", False)):
        at = frame.find(mark, 4, 64)
        if at < 0:
            continue
        if flagged:
            has = len(frame) >= at + 12 and frame[at + 7] & 1
            return int.from_bytes(frame[at + 8 : at + 12], "big") if has else 0
        return int.from_bytes(frame[at + 14 : at + 18], "big")
    return 0
