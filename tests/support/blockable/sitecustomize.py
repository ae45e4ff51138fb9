"""Loaded by Python before anything else where a test puts this directory on PYTHONPATH: the
process then blocks its event loop for five seconds at SIGUSR2, as a long computation does."""

import signal
import time


def compute_for_five_seconds(*_: object) -> None:
    ends = time.monotonic() + 5
    while time.monotonic() < ends:
        sum(range(1000))


signal.signal(signal.SIGUSR2, compute_for_five_seconds)
