"""Pictures and recordings that would take far more than they weigh, refused by those who would
decode them."""

from __future__ import annotations

import contextlib
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

from tests.support.movs import fragmented, mov
from tests.support.pictures import gif, jpeg, png_file
from tests.support.sounds import wav
from xinfer.errors import InvalidRequest, PayloadTooLarge, XinferError
from xinfer.model.image import pictures
from xinfer.model.pictures import MAX_BYTES
from xinfer.types.request import Media

_FRAME = 19
"""Where the first frame of `gif` begins."""
_IHDR = 33
"""Where the header of a PNG file ends."""
SMALL = png_file(8, 8, zlib.compress(bytes(8 * 25)))

BOMBS = {
    "50000 by 50000 pixels": png_file(50_000, 50_000, zlib.compress(bytes(1000))),
    "more data than its 8 by 8 pixels have": png_file(8, 8, zlib.compress(bytes(50 << 20))),
    "several frames": gif()[:_FRAME] + gif()[_FRAME:-1] * 10_000 + b";",
    "more than 100 scans": jpeg(scans=10_000),
    f"{MAX_BYTES + 1} bytes": png_file(8, 8, b"").ljust(MAX_BYTES + 1, b"\0"),
    "100 times the shorter one": png_file(1, 60_000, b""),
    "more than 10000 chunks": SMALL[:_IHDR] + b"\0\0\0\0teXtCRC." * 10_001 + SMALL[_IHDR:],
    "GIF file of more than 100000 blocks": gif()[:_FRAME] + b"!\xfe\1a\0" * 60_000 + gif()[_FRAME:],
    "of more than 100000 blocks": (
        gif()[:_FRAME] + b"!\xfe" + b"\1a" * 100_001 + b"\0" + gif()[_FRAME:]
    ),
    "more than 65536 bytes between its segments": jpeg(before=b"\xff" * 70_000),
    "bytes between its segments": jpeg(before=b"a" * 70_000),
    "more than 10000 segments": jpeg(before=b"\xff\xe1\0\2" * 10_001),
}


@pytest.mark.parametrize("reason", BOMBS)
def test_s08_pictures_that_would_blow_up_are_refused_before_they_are_decoded(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        raise AssertionError("it was decoded")

    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    with pytest.raises(XinferError, match=reason) as refused:
        pictures.check(Media(BOMBS[reason], "image"))
    assert refused.value.param == "image"


SECOND = wav(np.zeros(16_000, np.int16))
RECORDINGS = {
    "a WAV header that claims 4 GB, which is all that it can say": (
        SECOND[:40] + b"\xff" * 4 + SECOND[44:]
    ),
    "a W64 header that claims 8 GB": (
        bytes.fromhex("726966662e91cf11a5d628db04c10000") + (8 << 30).to_bytes(8, "little") + SECOND
    ),
    "67 million samples in 4 kB": mov(1 << 26, 1),
    "the same in fragments": fragmented(*[1 << 22] * 16),
    "the same in a compressed header": mov(1 << 26, 1, compressed=True),
}


@pytest.mark.parametrize("what", RECORDINGS)
def test_s08_recordings_that_claim_more_than_they_have_cost_what_they_have(what: str) -> None:
    pytest.importorskip("av")
    from xinfer.model.audio.decode import decode

    media = Media(RECORDINGS[what], "file")
    decode(Media(SECOND, "file"), rate=16_000, most_seconds=7200, still_wanted=lambda: None)
    before = _peak_from_now()
    with contextlib.suppress(InvalidRequest, PayloadTooLarge):
        samples = decode(media, rate=16_000, most_seconds=7200, still_wanted=lambda: None)
        assert len(samples) == 16_000
    assert _peak() < before + (64 << 20)


def _peak_from_now() -> int:
    """The memory that this process has, in bytes; its peak is counted anew where the kernel does
    so, and is what it has had else."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10  # type: ignore[index]
