"""Reading the processor time of a process."""

from __future__ import annotations

import os
import sys
import time

import pytest

from benchmarks.processor import processor_seconds


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the accounting is coarser")
def test_it_is_the_time_that_the_process_itself_sees() -> None:
    before = time.process_time()
    seen = processor_seconds(os.getpid())
    after = time.process_time()
    assert before <= seen <= after


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere another exception tells it")
def test_a_process_that_is_not_there_is_an_error() -> None:
    beyond_any_pid = 1 << 23
    with pytest.raises(ProcessLookupError):
        processor_seconds(beyond_any_pid)
