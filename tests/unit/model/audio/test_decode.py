"""Recordings in every container, and what is no recording, within bounds that no header moves."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")

from tests.support.sounds import RATE, container, pitch_of, tone, wav
from xinfer.errors import Cancelled, InvalidRequest, PayloadTooLarge
from xinfer.model.audio.decode import Samples, decode
from xinfer.types.request import Media


def wanted() -> None:
    pass


def decoded(
    data: bytes, *, most_seconds: float = 60, still_wanted: Callable[[], None] = wanted
) -> Samples:
    return decode(
        Media(data, "file"), rate=RATE, most_seconds=most_seconds, still_wanted=still_wanted
    )


def refused(data: bytes, most_seconds: float = 60) -> str:
    with pytest.raises(InvalidRequest) as caught:
        decoded(data, most_seconds=most_seconds)
    assert (caught.value.code, caught.value.param) == ("invalid_audio", "file")
    return caught.value.message


@pytest.mark.parametrize(
    ("form", "codec"),
    [
        ("mp3", "libmp3lame"),
        ("flac", "flac"),
        ("ogg", "libopus"),
        ("adts", "aac"),
        ("ipod", "aac"),
        ("webm", "libopus"),
        ("avi", "pcm_s16le"),
        ("aiff", "pcm_s16be"),
    ],
)
def test_every_container_gives_the_sound_at_the_rate_that_is_asked_for(
    form: str, codec: str
) -> None:
    made = decoded(container(form, codec, tone(2, rate=48000), rate=48000))
    assert made.dtype == np.int16
    assert len(made) == pytest.approx(2 * RATE, rel=0.05)
    assert pitch_of(made) == pytest.approx(440, abs=2)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (96000, 6)])
def test_channels_become_one_and_any_rate_ours(rate: int, channels: int) -> None:
    made = decoded(wav(tone(1, rate=rate), rate=rate, channels=channels))
    assert len(made) == pytest.approx(RATE, abs=64)
    assert pitch_of(made) == pytest.approx(440, abs=2)


def test_sound_is_taken_from_a_file_with_pictures() -> None:
    import io

    import av

    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as written:
        pictures = written.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        sound = written.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for number in range(10):
            picture = av.VideoFrame(32, 32, "yuv420p")
            picture.pts = number
            written.mux(pictures.encode(picture))
        frame = av.AudioFrame.from_ndarray(tone(1)[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        written.mux([*sound.encode(frame), *sound.encode(None), *pictures.encode(None)])
    assert pitch_of(decoded(file.getvalue())) == pytest.approx(440, abs=2)


def test_pictures_alone_are_said_to_have_no_sound() -> None:
    import io

    import av

    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as written:
        pictures = written.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        written.mux([*pictures.encode(av.VideoFrame(32, 32, "yuv420p")), *pictures.encode(None)])
    assert "no audio stream" in refused(file.getvalue())


def test_a_header_that_claims_gigabytes_costs_what_there_is() -> None:
    data = bytearray(wav(tone(1)))
    struct.pack_into("<I", data, 4, 0xFFFFFFF0)
    struct.pack_into("<I", data, 40, 0xFFFFFFF0 - 36)
    assert len(decoded(bytes(data))) == RATE


def test_a_recording_over_the_limit_ends_while_it_is_decoded() -> None:
    # Silence: a megabyte of sound in a few kilobytes.
    data = container("flac", "flac", np.zeros(60 * RATE, np.int16))
    assert len(data) < 60 * RATE // 8
    packets: list[None] = []
    decoded(data, still_wanted=lambda: packets.append(None))
    taken: list[None] = []
    with pytest.raises(PayloadTooLarge, match=r"longer than 5 seconds.*max_seconds"):
        decoded(data, most_seconds=5, still_wanted=lambda: taken.append(None))
    assert len(taken) < len(packets) / 6


def test_a_recording_that_was_cut_off_is_heard_up_to_there() -> None:
    data = container("mp3", "libmp3lame", tone(2))
    assert len(decoded(data[: len(data) // 2])) == pytest.approx(RATE, rel=0.1)


def test_decoding_ends_when_nothing_more_is_wanted() -> None:
    def still_wanted() -> None:
        raise Cancelled("gone")

    with pytest.raises(Cancelled):
        decoded(container("flac", "flac", tone(1)), still_wanted=still_wanted)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "it is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG picture"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"PK\x03\x04" + bytes(50), "a ZIP archive"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b'{"error": "not found"}', "looks like JSON"),
        ("good morning, grüß Gott".encode(), "it is text"),
        (b"RIFF" + bytes(60), "begins as WAV does"),
        (bytes(range(256)) * 9, "2304 bytes of no kind that is known"),
    ],
)
def test_what_is_no_recording_is_named(data: bytes, what: str) -> None:
    assert what in refused(data)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:{path}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{path}'\n",
        "<?xml version='1.0'?><MPD><BaseURL>file:{path}</BaseURL></MPD>",
    ],
)
def test_a_list_of_files_opens_none_of_them(tmp_path: Path, text: str) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(wav(tone(1)))
    refused(text.format(path=secret).encode())


def test_a_wav_without_samples_is_refused() -> None:
    assert "no sound in it" in refused(wav(tone(0)))


@pytest.mark.parametrize("claimed", [1, 999, 768_001, 9_999_991, 49_999_991])
def test_rates_for_which_a_filter_or_the_sound_would_be_huge_are_refused(claimed: int) -> None:
    said = refused(wav(tone(0.1, rate=RATE), rate=claimed), most_seconds=7200)
    assert f"has {claimed} samples a second; expected 1000 to 768000" in said


def test_a_frame_that_is_too_long_is_refused_before_it_is_made_into_more_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import av

    def made(*_: object, **__: object) -> None:
        raise AssertionError("it was resampled")

    monkeypatch.setattr(av, "AudioResampler", made)
    with pytest.raises(PayloadTooLarge):
        decoded(wav(tone(1, rate=1000), rate=1000), most_seconds=0.01)
