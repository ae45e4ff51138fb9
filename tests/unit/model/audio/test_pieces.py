"""Long recordings are divided where it is quiet."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from tests.support.sounds import RATE, tone
from xinfer.model.audio.pieces import pieces


def test_a_short_recording_is_one_piece() -> None:
    assert list(pieces(tone(3), rate=RATE, longest=5)) == [(0, 3 * RATE)]


def test_pieces_follow_each_other_and_end_in_silence() -> None:
    samples = tone(20)
    for second in (4.5, 8.6, 13.2):
        samples[int(second * RATE) : int((second + 0.4) * RATE)] = 0
    made = list(pieces(samples, rate=RATE, longest=5, searched=2))
    assert made[0][0] == 0
    assert made[-1][1] == len(samples)
    assert all(before[1] == after[0] for before, after in pairwise(made))
    assert all(end - start <= 5 * RATE for start, end in made)
    for _, end in made[:3]:
        assert not samples[end - 100 : end + 100].any()


def test_a_recording_without_a_pause_is_divided_too() -> None:
    made = list(pieces(np.full(13 * RATE, 9, np.int16), rate=RATE, longest=5, searched=2))
    assert sum(end - start for start, end in made) == 13 * RATE
    assert max(end - start for start, end in made) <= 5 * RATE
