"""The bounds of a recording, held against its headers."""

from __future__ import annotations

import struct

import pytest

from tests.support.recordings import mp3, wav
from xinfer.errors import InvalidRequest, PayloadTooLarge
from xinfer.model import recordings
from xinfer.model.recordings import check_recording
from xinfer.types.request import Media

WHERE = "messages[0].content[1]"


def medium(data: bytes) -> Media:
    return Media(data, WHERE, "recording")


def seconds(data: bytes) -> float:
    return recordings._seconds(data)


def header(
    kind: int = 1, channels: int = 1, rate: int = 8000, width: int = 2, bits: int = 16
) -> bytes:
    """A WAV file with this header and a second of samples."""
    fmt = struct.pack("<HHIIHH", kind, channels, rate, rate * width, width, bits)
    data = bytes(16_000)
    chunks = b"fmt " + struct.pack("<I", 16) + fmt + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


def test_lengths_are_those_of_what_is_there() -> None:
    assert seconds(wav(1.5)) == pytest.approx(1.5)
    assert seconds(header()) == 1.0
    assert seconds(mp3(100)) == pytest.approx(100 * 1152 / 44100)
    assert seconds(mp3(100, bitrate=1, version=0)) == pytest.approx(100 * 576 / 11025)
    assert seconds(mp3(100, told=100)) == pytest.approx(100 * 1152 / 44100)


def test_tags_and_junk_between_frames_count_for_nothing() -> None:
    tag = b"ID3\x04\x00\x00" + bytes([0, 0, 1, 0]) + mp3(1)[:4] * 32
    assert seconds(tag + mp3(10)) == seconds(mp3(10))
    assert seconds(mp3(10) + b"\xff" * 100 + b"TAG" + bytes(100)) == seconds(mp3(10))
    # A decoder finds what comes behind junk, and so does the count.
    twice = seconds(mp3(10) + bytes(1000) + mp3(10))
    assert twice == pytest.approx(2 * seconds(mp3(10)))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither WAV nor MP3"),
        (b"\x89PNG\r\n\x1a\n", "neither WAV nor MP3"),
        (b"fLaC" + bytes(100), "neither WAV nor MP3"),
        (wav(1.0)[:-1], "is said to have 16000 bytes, and 15999 are left"),
        (wav(1.0)[:40] + struct.pack("<I", 0xFFFFFFFF) + bytes(100), "4294967295 bytes"),
        (b"RIFF" + bytes(4) + b"WAVE", "has no samples"),
        (b"RIFF" + bytes(4) + b"WAVEdata" + struct.pack("<I", 4) + bytes(4), "before its header"),
        (b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<I", 4) + bytes(4), "too short"),
        (header(kind=2), "send PCM"),
        (header(rate=1), "at 1 Hz"),
        (header(rate=4_000_000), "at 4000000 Hz"),
        (header(channels=0), "0 channels"),
        (header(channels=9, width=18), "9 channels"),
        (header(bits=1, width=0), "with 1 bits"),
        (header(width=0), "with 16 bits"),
        (mp3(10, told=1 << 31), "is said to have 2147483648 frames, and has 10"),
        (mp3(10, bitrate=0), "no fixed bitrate"),
        (b"ID3" + bytes(7), "has none of it"),
        (b"\xff\xfb", "has none of it"),
    ],
)
def test_what_is_damaged_or_of_another_kind_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_recording(medium(data))
    assert caught.value.param == WHERE
    assert reason in caught.value.message


@pytest.mark.parametrize(
    "data",
    [
        wav(1.1),
        mp3(40_000, bitrate=1, version=0),
        bytes(recordings.MAX_BYTES + 1),
    ],
    ids=["wav", "mp3", "bytes"],
)
def test_what_is_too_long_or_too_large_is_refused(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    if data[:4] == b"RIFF":
        monkeypatch.setattr(recordings, "MAX_SECONDS", 1)
    with pytest.raises(PayloadTooLarge) as caught:
        check_recording(medium(data))
    assert caught.value.param == WHERE
    assert "accepted" in caught.value.message


def test_a_good_one_passes() -> None:
    for data in (wav(1.0), mp3(10), mp3(10, told=10)):
        check_recording(medium(data))
