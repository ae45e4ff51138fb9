"""Pictures that would take far more than they weigh, refused by those who would decode them."""

from __future__ import annotations

import zlib

import pytest

from tests.support.pictures import gif, jpeg, png_file
from xinfer.errors import XinferError
from xinfer.model.image import pictures
from xinfer.model.pictures import MAX_BYTES
from xinfer.types.request import Media

_FRAME = 19
"""Where the first frame of `gif` begins."""

BOMBS = {
    "50000 by 50000 pixels": png_file(50_000, 50_000, zlib.compress(bytes(1000))),
    "more data than its 8 by 8 pixels have": png_file(8, 8, zlib.compress(bytes(50 << 20))),
    "several frames": gif()[:_FRAME] + gif()[_FRAME:-1] * 10_000 + b";",
    "more than 100 scans": jpeg(scans=10_000),
    f"{MAX_BYTES + 1} bytes": png_file(8, 8, b"").ljust(MAX_BYTES + 1, b"\0"),
    "100 times the shorter one": png_file(1, 60_000, b""),
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
