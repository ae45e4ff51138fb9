"""Waiting for something observable, with a bound; never for an amount of time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(look: Callable[[], T], within: float = 10.0, what: str = "") -> T:
    """The first truthy value `look` gives; an exception in it counts as not yet.

    Raises:
        AssertionError: none within so many seconds; says what was seen last.
    """
    deadline = time.monotonic() + within
    seen: object = None
    while True:
        try:
            value = look()
        except Exception as error:
            seen = repr(error)
        else:
            if value:
                return value
            seen = value
        if time.monotonic() >= deadline:
            raise AssertionError(f"{what or 'it'} did not come within {within} s; last: {seen}")
        time.sleep(0.02)
