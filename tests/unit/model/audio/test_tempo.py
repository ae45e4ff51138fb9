"""Faster and slower in the same pitch."""

from __future__ import annotations

import pytest

pytest.importorskip("av")

from tests.support.sounds import RATE, pitch_of, tone
from xinfer.model.audio.speaking.tempo import with_tempo


@pytest.mark.parametrize("speed", [0.25, 0.7, 1.5, 4.0])
def test_the_time_changes_and_the_pitch_does_not(speed: float) -> None:
    made = with_tempo(tone(2), RATE, speed)
    assert len(made) * speed == pytest.approx(2 * RATE, rel=0.05)
    assert pitch_of(made) == pytest.approx(440, abs=3)


def test_the_models_own_speed_is_left_alone() -> None:
    samples = tone(0.1)
    assert with_tempo(samples, RATE, 1.0) is samples
