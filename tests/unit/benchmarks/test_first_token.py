"""The hundredth of the samples that is worst."""

from __future__ import annotations

import random

from benchmarks.first_token import p99


def test_one_in_a_hundred_is_beyond_it() -> None:
    samples = [float(number) for number in range(1, 301)]
    random.Random(0).shuffle(samples)
    assert p99([samples[:100], samples[100:]]) == 297.0
