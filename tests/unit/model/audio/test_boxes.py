"""QuickTime and MP4 files that claim more samples than they can have."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest

pytest.importorskip("av")

from tests.support.movs import SOUND, box, fragmented, full, mov
from tests.support.sounds import container, tone
from xinfer.errors import InvalidRequest, PayloadTooLarge
from xinfer.model.audio.boxes import MOST_EQUAL, MOST_SAMPLES, check_boxes
from xinfer.model.audio.decode import decode
from xinfer.types.request import Media


def check(data: bytes) -> None:
    check_boxes(Media(data, "file"))


def samples(data: bytes) -> int:
    found = decode(Media(data, "file"), rate=8000, most_seconds=60, still_wanted=lambda: None)
    return len(found)


def test_what_is_written_by_hand_here_is_read_as_such_files_are() -> None:
    assert samples(mov(len(SOUND) // 2, 2, steps=1)) == len(SOUND) // 2


@pytest.mark.parametrize(
    ("form", "codec"), [("mp4", "aac"), ("ipod", "alac"), ("mov", "pcm_s16le"), ("mp4", "libopus")]
)
def test_files_as_programs_write_them_are_let_pass(form: str, codec: str) -> None:
    rate = 48_000 if codec == "libopus" else 16_000
    data = container(form, codec, tone(5.0, rate=rate), rate=rate)
    check(data)
    assert samples(data) == pytest.approx(40_000, rel=0.05)


TOO_MUCH = {
    "more than there are bytes": mov(1 << 26, 1),
    "of no size": mov(1 << 26, 0),
    "in a fragment": fragmented(1 << 26),
    "in fragments together": fragmented(*[1 << 20] * 3),
    "in a short table": mov(10, 2) + full(b"stz2", struct.pack(">II", 4, 1 << 26)),
    "where boxes make no sense": mov(10, 2) + b"\0\0\0\3xxxx" + mov(1 << 26, 1),
    "in a box that goes to the end": mov(10, 2) + b"\0\0\0\0free" + mov(1 << 26, 1),
    "behind a long box": b"\0\0\0\1free" + struct.pack(">Q", 20) + b"xxxx" + mov(1 << 26, 1),
    "many times": mov(1500, 2) + mov(1500, 2)[-600:] * 4000,
}


@pytest.mark.parametrize("how", TOO_MUCH)
def test_more_samples_than_there_can_be_are_refused(how: str) -> None:
    with pytest.raises(PayloadTooLarge, match=r"is said to have \d+ samples") as refused:
        samples(TOO_MUCH[how])
    assert refused.value.param == "file"


def test_the_bounds_are_exact() -> None:
    check(fragmented(MOST_SAMPLES))
    with pytest.raises(PayloadTooLarge):
        check(fragmented(MOST_SAMPLES + 1))
    table = full(b"stsz", struct.pack(">II", 1, MOST_EQUAL + 1))
    with pytest.raises(PayloadTooLarge):
        check(box(b"ftyp", b"qt  ") + table + bytes(MOST_EQUAL))


def test_a_header_that_is_compressed_is_refused_in_words() -> None:
    with pytest.raises(InvalidRequest, match="compressed header"):
        samples(mov(1 << 26, 1, compressed=True))


@pytest.mark.parametrize("title", ["A trunk full of letters", "Lights strung along", "trunks"])
def test_words_in_a_title_are_no_table(title: str) -> None:
    data = container("ipod", "aac", tone(1.0), metadata={"title": title})
    assert title.encode() in data
    assert samples(data) > 0


def test_a_table_of_a_fragment_outside_of_one_is_none_to_the_libraries_either() -> None:
    with pytest.raises(InvalidRequest):
        samples(fragmented(1 << 26).replace(b"tfhd", b"free"))


def test_what_the_media_hold_is_no_table() -> None:
    check(box(b"ftyp", b"isom") + box(b"mdat", b"tfhd", full(b"trun", b"\xff" * 8)))


def test_other_files_are_not_looked_at() -> None:
    table = full(b"trun", b"\xff" * 8)
    for beginning in (b"", b"ID3\4\0\0\0\0", b"OggS\0\2\0\0", b"\xff\xfb\x90\0\0\0\0\0"):
        check(beginning + table if beginning else b"")


def test_tables_that_are_cut_off_are_let_pass_or_refused_in_words() -> None:
    whole = mov(1000, 2, steps=1)
    for end in range(len(whole) - 400, len(whole)):
        with suppress(InvalidRequest, PayloadTooLarge):
            samples(whole[:end])
