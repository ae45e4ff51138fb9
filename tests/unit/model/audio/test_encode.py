"""Sound in every format that is offered, whole and piece by piece."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

pytest.importorskip("av")

from tests.support.sounds import RATE, pitch_of, tone
from xinfer.errors import InvalidRequest, Unavailable
from xinfer.model.audio import encode
from xinfer.model.audio.decode import decode
from xinfer.model.audio.encode import (
    FORMATS,
    PCM_RATE,
    WAV_HEADER_BYTES,
    Encoder,
    find_format,
    wav_header,
)
from xinfer.types.request import Media

SIGNATURES = {
    "mp3": (b"ID3", b"\xff\xfb", b"\xff\xf3"),
    "wav": (b"RIFF",),
    "flac": (b"fLaC",),
    "opus": (b"OggS",),
    "aac": (b"\xff\xf1",),
    "m4a": (b"\x00\x00\x00",),
    "webm": (b"\x1a\x45\xdf\xa3",),
}


@pytest.mark.parametrize("source_rate", [16000, 22050, 24000])
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "pcm"])
def test_a_file_made_piece_by_piece_is_the_sound(name: str, source_rate: int) -> None:
    samples = tone(1.5, rate=source_rate)
    encoder = Encoder(name, source_rate)
    data = b"".join(encoder.feed(part) for part in np.array_split(samples, 7)) + encoder.finish()
    assert data.startswith(SIGNATURES[name])
    heard = decode(Media(data, "f"), rate=RATE, most_seconds=9, still_wanted=lambda: None)
    assert len(heard) / RATE == pytest.approx(1.5, abs=0.12)
    assert pitch_of(heard) == pytest.approx(440, abs=2)


def test_some_of_a_file_is_ready_before_all_of_the_sound() -> None:
    for name in FORMATS:
        encoder = Encoder(name, RATE)
        early = encoder.feed(tone(1))
        assert early
        assert encoder.feed(tone(1)) + encoder.finish()


def test_pcm_has_openais_rate_unless_another_is_asked_for() -> None:
    for asked, rate in ((None, PCM_RATE), (8000, 8000)):
        encoder = Encoder("pcm", RATE, asked)
        samples = np.frombuffer(encoder.feed(tone(1)) + encoder.finish(), "<i2")
        assert encoder.rate == rate
        assert len(samples) == pytest.approx(rate, abs=32)
        assert pitch_of(samples.astype(np.int16), rate=rate) == pytest.approx(440, abs=2)


def test_a_rate_that_a_format_has_not_becomes_the_next_higher_one() -> None:
    assert Encoder("opus", 22050).rate == 24000
    assert Encoder("opus", 16000, 44100).rate == 48000
    assert Encoder("mp3", 16000, 22050).rate == 22050
    assert Encoder("wav", 16000, 12345).rate == 12345


def test_a_wav_says_how_long_it_is_only_where_that_is_known() -> None:
    samples = tone(0.5)
    encoder = Encoder("wav", RATE)
    streamed = encoder.feed(samples) + encoder.finish()
    assert streamed[40:WAV_HEADER_BYTES] == b"\xff\xff\xff\xff"
    whole = wav_header(RATE, len(samples)) + streamed[WAV_HEADER_BYTES:]
    with wave.open(io.BytesIO(whole)) as file:
        assert (file.getnframes(), file.getframerate()) == (len(samples), RATE)


def test_names_of_formats_are_taken_in_any_case_and_by_their_media_type() -> None:
    assert [find_format(name)[0] for name in ("MP3", "mpeg", "ogg")] == ["mp3", "mp3", "opus"]
    with pytest.raises(InvalidRequest, match="mp3, wav, flac, opus, aac, pcm"):
        find_format("midi")


def test_without_the_library_wav_and_pcm_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode, "find_spec", lambda name: None)
    assert find_format("wav")[0] == "wav"
    with pytest.raises(Unavailable, match=r"xinfer\[audio\]"):
        find_format("mp3")
