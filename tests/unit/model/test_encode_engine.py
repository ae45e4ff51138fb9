"""Shortening what a model cannot take whole."""

from __future__ import annotations

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.encode_engine import Encoded

PAIR = Encoded([1, 10, 11, 2, 20, 21, 22, 3], (4, 7))


@pytest.mark.parametrize(
    ("most", "ids", "cut"),
    [
        (9, PAIR.ids, (4, 7)),
        (8, PAIR.ids, (4, 7)),
        (7, [1, 10, 11, 2, 20, 21, 3], (4, 6)),
        (5, [1, 10, 11, 2, 3], (4, 4)),
    ],
)
def test_document_ends_earlier(most: int, ids: list[int], cut: tuple[int, int]) -> None:
    shortened = PAIR.shortened(most)
    assert (shortened.ids, shortened.cut) == (ids, cut)
    assert len(PAIR) == 8


def test_what_is_not_the_document_is_never_cut() -> None:
    with pytest.raises(InvalidRequest, match="at most 4 tokens are taken, and at least 5"):
        PAIR.shortened(4)
